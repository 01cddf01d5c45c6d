package wire

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/darter-p2p/darter"
)

// errorDomain marks the status details that carry a darter.Error whole.
const errorDomain = "darter"

// translation is the one table between kinds of error and what the two protocols call them.
var translation = [...]struct {
	kind darter.Kind
	code codes.Code
	http int
}{
	{darter.Internal, codes.Internal, http.StatusInternalServerError},
	{darter.Invalid, codes.InvalidArgument, http.StatusBadRequest},
	{darter.NotFound, codes.NotFound, http.StatusNotFound},
	{darter.Conflict, codes.FailedPrecondition, http.StatusConflict},
	{darter.Unavailable, codes.Unavailable, http.StatusServiceUnavailable},
	{darter.Corrupt, codes.DataLoss, http.StatusBadGateway},
	{darter.Denied, codes.PermissionDenied, http.StatusForbidden},
	{darter.NoSpace, codes.ResourceExhausted, http.StatusInsufficientStorage},
	{darter.TimedOut, codes.DeadlineExceeded, http.StatusGatewayTimeout},
}

// HTTPStatus returns the HTTP status of a kind of error.
func HTTPStatus(k darter.Kind) int {
	for _, row := range translation {
		if row.kind == k {
			return row.http
		}
	}
	return http.StatusInternalServerError
}

// Code returns the gRPC status code of a kind of error.
func Code(k darter.Kind) codes.Code {
	for _, row := range translation {
		if row.kind == k {
			return row.code
		}
	}
	return codes.Internal
}

// Status turns an error into a gRPC status error. The kind and the hint travel as a detail, so that
// FromStatus gets back what was meant. A status error stays as it is; nil stays nil.
func Status(err error) error {
	if err == nil {
		return nil
	}
	e, ours := errors.AsType[*darter.Error](err)
	if !ours {
		if _, is := status.FromError(err); is {
			return err
		}
		return status.FromContextError(err).Err() // codes.Unknown for anything but a context's end
	}
	code := Code(e.Kind)
	if errors.Is(err, context.Canceled) {
		code = codes.Canceled
	}
	st := status.New(code, plain(err.Error()))
	info := &errdetails.ErrorInfo{Domain: errorDomain, Reason: reason(e.Kind), Metadata: map[string]string{"op": plain(e.Op)}}
	if hint := darter.HintOf(err); hint != "" {
		info.Metadata["hint"] = plain(hint)
	}
	if rich, err := st.WithDetails(info); err == nil {
		st = rich
	}
	return st.Err()
}

// FromStatus turns the error of a gRPC call into a darter.Error whose Op is op; nil stays nil. The
// original stays in the chain, as does the end of a context.
func FromStatus(op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ours := errors.AsType[*darter.Error](err); ours {
		return err
	}
	st := status.Convert(err)
	e := &darter.Error{Kind: kindOfCode(st.Code()), Op: op, Err: &remote{text: st.Message(), err: err, code: st.Code()}}
	for _, detail := range st.Details() {
		info, is := detail.(*errdetails.ErrorInfo)
		if !is || info.GetDomain() != errorDomain {
			continue
		}
		for _, row := range translation {
			if reason(row.kind) == info.GetReason() {
				e.Kind = row.kind
			}
		}
		e.Hint = info.GetMetadata()["hint"]
	}
	return e
}

// Answered reports whether an error of a gRPC call is what the other side said, and not that it could not be reached.
func Answered(err error) bool {
	st, is := status.FromError(err)
	if err == nil || !is {
		return false
	}
	for _, detail := range st.Details() {
		if info, is := detail.(*errdetails.ErrorInfo); is && info.GetDomain() == errorDomain {
			return true
		}
	}
	switch st.Code() { // the others are also what gRPC itself says of a connection
	case codes.NotFound, codes.FailedPrecondition, codes.InvalidArgument, codes.PermissionDenied, codes.Unimplemented, codes.AlreadyExists, codes.OutOfRange:
		return true
	}
	return false
}

// kindOfCode reads the codes of a process that is not one of ours. ResourceExhausted is their rate limit or
// message limit, not a full disk.
func kindOfCode(c codes.Code) darter.Kind {
	switch c {
	case codes.ResourceExhausted, codes.Canceled, codes.Aborted:
		return darter.Unavailable
	case codes.AlreadyExists:
		return darter.Conflict
	case codes.OutOfRange, codes.Unimplemented:
		return darter.Invalid
	case codes.Unauthenticated:
		return darter.Denied
	}
	for _, row := range translation {
		if row.code == c {
			return row.kind
		}
	}
	return darter.Internal
}

// remote is an error of the other side. It reads as the other side wrote it, without gRPC's frame.
type remote struct {
	text string
	err  error
	code codes.Code
}

func (r *remote) Error() string {
	if r.text == "" {
		return r.code.String()
	}
	return r.text
}

func (r *remote) Unwrap() []error {
	switch r.code {
	case codes.Canceled:
		return []error{r.err, context.Canceled}
	case codes.DeadlineExceeded:
		return []error{r.err, context.DeadlineExceeded}
	}
	return []error{r.err}
}

func reason(k darter.Kind) string { return strings.ToUpper(strings.ReplaceAll(k.String(), " ", "_")) }

// plain makes text fit for a protobuf string.
func plain(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
