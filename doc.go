// Package darter holds the nouns of Darter: the words that the code, the command line, the
// console and the documentation share.
//
//	Want ──▶ Task ──▶ Piece, PieceSet, Layout        what is moved
//	Host ──▶ Peer, Epoch                             who moves it
//	Error, Kind                                      what went wrong, and what to do
//
// It promises to depend on nothing but the standard library's pure parts: no network, no files, no
// clock, no locks. It deliberately holds no behaviour beyond arithmetic, parsing and printing.
package darter
