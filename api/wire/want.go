package wire

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/darter-p2p/darter"
)

// MaxPieces is the largest number of pieces a content may have: 4 TiB in the smallest pieces, 64 TiB in
// the largest. It bounds what a claimed length can make anyone allocate.
const MaxPieces = 1 << 20

// ToWant reads a download request. Layout comes from the actual_* fields; LayoutKnown tells whether they
// were there. Errors are darter.Invalid.
func ToWant(m *commonv2.Download) (darter.Want, error) {
	if m.GetUrl() == "" {
		return darter.Want{}, invalid("read download", "it names no URL")
	}
	digest, err := darter.ParseDigest(m.GetDigest())
	if err != nil {
		return darter.Want{}, err
	}
	w := darter.Want{
		URL: m.GetUrl(), Digest: digest, Tag: m.GetTag(), Application: m.GetApplication(),
		FilteredQuery: slices.Clone(m.GetFilteredQueryParams()), Header: maps.Clone(m.GetRequestHeader()),
		ContentForID: m.GetContentForCalculatingTaskId(), DigestAsID: m.GetEnableTaskIdBasedBlobDigest(),
		Revision: revision(m), OutputPath: m.GetOutputPath(), Overwrite: m.GetOverwrite(), ForceHardLink: m.GetForceHardLink(),
		NeedContent: m.GetNeedPieceContent(), DisableSource: m.GetDisableBackToSource(), NeedSource: m.GetNeedBackToSource(),
		MetadataOnly: m.GetMetadataOnly(), Prefetch: m.GetPrefetch(), IsPrefetch: m.GetIsPrefetch(),
		RemoteIP: m.GetRemoteIp(), ConcurrentHint: m.GetConcurrentPieceCount(),
	}
	if p := m.GetPriority(); p < 0 || p > commonv2.Priority_LEVEL6 {
		return darter.Want{}, invalid("read download", fmt.Sprintf("priority %d is not in 0..6", p))
	}
	w.Priority = darter.Priority(m.GetPriority())
	if w.PieceLength, err = pieceLength(m.GetPieceLength()); err != nil {
		return darter.Want{}, err
	}
	if w.Range, err = ToRange(m.GetRange()); err != nil {
		return darter.Want{}, err
	}
	if t := m.GetTimeout(); t != nil {
		if err := t.CheckValid(); err != nil {
			return darter.Want{}, invalid("read download", "its timeout is malformed: "+err.Error())
		}
		w.Timeout = max(t.AsDuration(), 0)
	}
	return w, toLayout(&w, m)
}

// pieceLength checks an explicit piece length: it is part of the identity, so it is never clamped.
func pieceLength(v uint64) (int64, error) {
	if v != 0 && (v < darter.MinPieceLength || v > darter.MaxPieceLength) {
		return 0, &darter.Error{Kind: darter.Invalid, Op: "read download", Hint: "leave the piece length out, or set it between 4MiB and 64MiB",
			Err: fmt.Errorf("piece length %d is outside %d..%d", v, darter.MinPieceLength, darter.MaxPieceLength)}
	}
	return int64(v), nil
}

func toLayout(w *darter.Want, m *commonv2.Download) error {
	if m.ActualContentLength == nil {
		return nil
	}
	length, piece := m.GetActualContentLength(), m.GetActualPieceLength()
	if length > math.MaxInt64/2 || piece > math.MaxInt64/2 {
		return invalid("read download", fmt.Sprintf("length %d or piece length %d is out of range", length, piece))
	}
	w.LayoutKnown = true
	if piece == 0 {
		piece = uint64(w.PieceLength)
	}
	w.Layout = darter.LayoutOf(int64(length), int64(piece))
	if pieces := (length + uint64(w.Layout.PieceLength) - 1) / uint64(w.Layout.PieceLength); pieces > MaxPieces {
		return invalid("read download", fmt.Sprintf("%d bytes in pieces of %d are %d pieces, more than %d", length, w.Layout.PieceLength, pieces, MaxPieces))
	}
	return nil
}

// ToRange reads a range; nil stays nil. A range of length 0 or past 2^63 is darter.Invalid.
func ToRange(m *commonv2.Range) (*darter.Range, error) {
	if m == nil {
		return nil, nil
	}
	if m.GetLength() == 0 || m.GetStart() > math.MaxInt64 || m.GetLength() > math.MaxInt64-m.GetStart() {
		return nil, invalid("read range", fmt.Sprintf("start %d, length %d is not a range", m.GetStart(), m.GetLength()))
	}
	return &darter.Range{Start: int64(m.GetStart()), Length: int64(m.GetLength())}, nil
}

// FromRange writes a range; nil stays nil.
func FromRange(r *darter.Range) *commonv2.Range {
	if r == nil {
		return nil
	}
	return &commonv2.Range{Start: uint64(max(r.Start, 0)), Length: uint64(max(r.Length, 0))}
}

// FromWant writes a download request, request headers included: send it only to who may have the
// credentials.
func FromWant(w darter.Want) *commonv2.Download {
	m := &commonv2.Download{
		Url: w.URL, Digest: optional(string(w.Digest)), Range: FromRange(w.Range), Type: commonv2.TaskType_STANDARD,
		Tag: optional(w.Tag), Application: optional(w.Application), Priority: commonv2.Priority(w.Priority),
		FilteredQueryParams: slices.Clone(w.FilteredQuery), RequestHeader: maps.Clone(w.Header),
		OutputPath: optional(w.OutputPath), Overwrite: w.Overwrite, ForceHardLink: w.ForceHardLink,
		DisableBackToSource: w.DisableSource, NeedBackToSource: w.NeedSource, MetadataOnly: w.MetadataOnly,
		Prefetch: w.Prefetch, IsPrefetch: w.IsPrefetch, NeedPieceContent: w.NeedContent,
		ContentForCalculatingTaskId: optional(w.ContentForID), EnableTaskIdBasedBlobDigest: w.DigestAsID,
		RemoteIp: optional(w.RemoteIP),
	}
	if w.PieceLength > 0 {
		m.PieceLength = pointer(uint64(w.PieceLength))
	}
	if w.Timeout > 0 {
		m.Timeout = durationpb.New(w.Timeout)
	}
	if w.ConcurrentHint > 0 {
		m.ConcurrentPieceCount = pointer(w.ConcurrentHint)
	}
	if w.LayoutKnown {
		m.ActualContentLength = pointer(uint64(max(w.Layout.Length, 0)))
		m.ActualPieceLength = pointer(uint64(max(w.Layout.PieceLength, 0)))
		m.ActualPieceCount = pointer(uint64(w.Layout.Count()))
	}
	setRevision(m, w)
	return m
}

// revision follows the order in which the released daemon looks.
func revision(m *commonv2.Download) string {
	for _, r := range []string{m.GetHuggingFace().GetRevision(), m.GetModelScope().GetRevision(), m.GetOpenCsg().GetRevision()} {
		if r != "" {
			return r
		}
	}
	return ""
}

func setRevision(m *commonv2.Download, w darter.Want) {
	switch {
	case w.Revision == "":
	case strings.HasPrefix(w.URL, "modelscope://"):
		m.ModelScope = &commonv2.ModelScope{Revision: w.Revision}
	case strings.HasPrefix(w.URL, "opencsg://"):
		m.OpenCsg = &commonv2.OpenCSG{Revision: w.Revision}
	default:
		m.HuggingFace = &commonv2.HuggingFace{Revision: w.Revision}
	}
}

func pointer[T any](v T) *T { return &v }
