package wire

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/darter-p2p/darter"
)

// ToPiece reads a piece. Content is left where it is. A digest of another algorithm than crc32 is taken as
// no digest. Errors are darter.Invalid.
func ToPiece(m *commonv2.Piece) (darter.Piece, error) {
	if m == nil {
		return darter.Piece{}, invalid("read piece", "it is missing")
	}
	if m.GetNumber() >= MaxPieces || m.GetOffset() > math.MaxInt64/2 || m.GetLength() > math.MaxInt64/2 {
		return darter.Piece{}, invalid("read piece", fmt.Sprintf("number %d, offset %d, length %d is out of range", m.GetNumber(), m.GetOffset(), m.GetLength()))
	}
	p := darter.Piece{Number: m.GetNumber(), Offset: int64(m.GetOffset()), Length: int64(m.GetLength()), Traffic: ToTraffic(m.GetTrafficType())}
	if m.GetParentId() != "" {
		if err := checkID("parent id", m.GetParentId()); err != nil {
			return darter.Piece{}, err
		}
		p.Parent = darter.PeerID(m.GetParentId())
	}
	if digits, is := strings.CutPrefix(m.GetDigest(), "crc32:"); is {
		v, err := strconv.ParseUint(digits, 10, 32)
		if err != nil {
			return darter.Piece{}, invalid("read piece", fmt.Sprintf("digest %q of piece %d is not a decimal crc32", clip(m.GetDigest()), p.Number))
		}
		p.CRC, p.HasCRC = uint32(v), true
	}
	if m.GetCost().IsValid() {
		p.Cost = max(m.GetCost().AsDuration(), 0)
	}
	p.Created = ToTime(m.GetCreatedAt())
	return p, nil
}

// FromPiece writes a piece, without content. Cost and creation time are always there, because the
// generated rules demand them.
func FromPiece(p darter.Piece) *commonv2.Piece {
	m := &commonv2.Piece{
		Number: p.Number, Offset: uint64(max(p.Offset, 0)), Length: uint64(max(p.Length, 0)), ParentId: optional(string(p.Parent)),
		TrafficType: pointer(commonv2.TrafficType(p.Traffic)), Cost: durationpb.New(max(p.Cost, 0)), CreatedAt: FromTime(p.Created),
	}
	if p.HasCRC {
		m.Digest = darter.CRCText(p.CRC)
	}
	return m
}

// ToTraffic reads where bytes came from; what is not known counts as the source.
func ToTraffic(t commonv2.TrafficType) darter.Traffic {
	if t < 0 || t > commonv2.TrafficType_LOCAL_PEER {
		return darter.FromSource
	}
	return darter.Traffic(t)
}

// ToTime reads a time; absent, malformed and the Unix epoch give the zero time.
func ToTime(m *timestamppb.Timestamp) time.Time {
	if !m.IsValid() || (m.GetSeconds() == 0 && m.GetNanos() == 0) {
		return time.Time{}
	}
	return m.AsTime()
}

// FromTime writes a time; the zero time becomes the Unix epoch, which every receiver can represent.
func FromTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return &timestamppb.Timestamp{}
	}
	return timestamppb.New(t)
}
