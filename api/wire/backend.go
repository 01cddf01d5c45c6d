package wire

import (
	"encoding/json"
	"fmt"

	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"

	errordetailsv2 "d7y.io/api/v2/pkg/apis/errordetails/v2"
)

// BackendTrailer is the trailer in which a daemon sends Backend as JSON text.
const BackendTrailer = "grpc-status-details-bin"

// maxBackend bounds the JSON taken from a trailer.
const maxBackend = 64 << 10

// Backend is an answer of the source that is not the content.
type Backend struct {
	Message string            `json:"message"`
	Header  map[string]string `json:"header"`
	Status  int               `json:"status_code,omitempty"` // 0 when the source did not answer
}

// JSON renders the details as the released daemon sends them: text, not a google.rpc.Status. Set
// it as the trailer BackendTrailer of a plain INTERNAL status.
func (b Backend) JSON() []byte {
	if b.Header == nil {
		b.Header = map[string]string{} // the released tools want an object
	}
	text, err := json.Marshal(b)
	if err != nil { // strings and numbers always marshal
		return nil
	}
	return text
}

// ParseBackend reads the JSON details of a trailer.
func ParseBackend(text []byte) (Backend, error) {
	var b Backend
	if len(text) > maxBackend {
		return b, invalid("read backend details", fmt.Sprintf("they have %d bytes, at most %d are taken", len(text), maxBackend))
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return Backend{}, invalid("read backend details", err.Error())
	}
	if b.Status < 100 || b.Status > 999 {
		b.Status = 0
	}
	return b, nil
}

// ToPieceSourceFailed reads why a piece could not be had from the source.
func ToPieceSourceFailed(m *schedulerv2.DownloadPieceBackToSourceFailedRequest) Backend {
	if b := m.GetBackend(); b != nil {
		out := Backend{Message: cut(b.GetMessage()), Header: b.GetHeader()}
		if s := b.GetStatusCode(); s >= 100 && s < 600 {
			out.Status = int(s)
		}
		return out
	}
	return Backend{Message: cut(m.GetUnknown().GetMessage())}
}

// FromPieceSourceFailed writes why piece n could not be had from the source.
func FromPieceSourceFailed(n uint32, b Backend) *schedulerv2.DownloadPieceBackToSourceFailedRequest {
	m := &schedulerv2.DownloadPieceBackToSourceFailedRequest{PieceNumber: &n}
	if b.Status >= 100 && b.Status < 599 {
		m.Response = &schedulerv2.DownloadPieceBackToSourceFailedRequest_Backend{
			Backend: &errordetailsv2.Backend{Message: plain(b.Message), Header: b.Header, StatusCode: pointer(int32(b.Status))}}
		return m
	}
	m.Response = &schedulerv2.DownloadPieceBackToSourceFailedRequest_Unknown{Unknown: &errordetailsv2.Unknown{Message: optional(plain(b.Message))}}
	return m
}
