// Package wire is the one crossing between the messages of the API and Darter's nouns.
//
//	commonv2.Host     ◀──▶ darter.Host          ToHost, FromHost
//	commonv2.Download ◀──▶ darter.Want          ToWant, FromWant
//	commonv2.Piece    ◀──▶ darter.Piece         ToPiece, FromPiece
//	commonv2.Peer     ◀──▶ darter.Parent        ToParent, Candidate
//	gRPC status       ◀──▶ darter.Error         FromStatus, Status   (HTTPStatus for REST)
//	darterv1.Renewal  ◀──▶ darter.Renewal       ToRenewal, FromRenewal   (Grant likewise)
//	darterv1.Answer   ◀──▶ inventory.Answer     ToAnswer, FromAnswer     (Questions likewise)
//	description text  ◀──▶ darter.PieceSet      ParseSourceDescription, SourceDescription
//
// It promises that no message, however malformed, makes it panic or allocate by the sender's claim,
// that what comes out of a To function is within the bounds the rest of the system relies on, and that
// a candidate parent never carries request headers, user information or a query. It deliberately opens
// no connection, holds no state and decides nothing.
package wire
