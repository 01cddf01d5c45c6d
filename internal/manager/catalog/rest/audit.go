package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/rest"
)

// AuditEvent is one change that somebody made or was refused.
type AuditEvent struct {
	ID       string       `json:"id"`
	At       time.Time    `json:"at"`
	Actor    Actor        `json:"actor"`
	Action   string       `json:"action" example:"gc_policy.publish"`
	Resource string       `json:"resource"`
	Result   string       `json:"result" enum:"done,denied,failed"`
	Request  string       `json:"request_id,omitempty"`
	Reason   string       `json:"reason,omitempty"`
	Before   string       `json:"before,omitempty" doc:"hash or redacted text"`
	After    string       `json:"after,omitempty"`
	Diff     []Difference `json:"diff,omitempty"`
}

func auditEvent(e darter.AuditEvent) AuditEvent {
	return AuditEvent{ID: e.ID, At: e.At.UTC(), Actor: Actor(e.Actor), Action: e.Action, Resource: e.Resource, Result: e.Result, Request: e.Request, Reason: e.Reason,
		Before: e.Before, After: e.After, Diff: differences(e.Diff)}
}

const auditFields = "Filter: `actor` (id), `action`, `resource`, `result`."

func auditFilter(text string) (catalog.AuditFilter, error) {
	f, err := rest.ParseFilter(text, "actor", "action", "resource", "result")
	return catalog.AuditFilter{Actor: f.Value("actor"), Action: f.Value("action"), Resource: f.Value("resource"), Result: f.Value("result")}, err
}

func (s *shelf) audit() {
	rest.Add(s.api, rest.Operation{Method: "GET", Path: "/v1/audit-events", ID: "list-audit-events", Tag: "audit", Summary: "List who did what, the newest first", Doc: auditFields,
		Access: rest.Need("audit.read")}, func(ctx context.Context, in *listing) (*rest.Listed[AuditEvent], error) {
		f, err := auditFilter(in.Filter)
		if err != nil {
			return nil, err
		}
		return rest.List(ctx, s.api, in.Page, func(after string, limit int) ([]AuditEvent, error) {
			f.Before, f.Limit = after, limit
			all, err := s.Catalog.AuditEvents(ctx, f)
			out := make([]AuditEvent, len(all))
			for i, e := range all {
				out[i] = auditEvent(e)
			}
			return out, err
		}, func(e AuditEvent) string { return e.ID })
	})
	rest.Add(s.api, rest.Operation{Method: "GET", Path: "/v1/audit-events:export", ID: "export-audit-events", Tag: "audit", Summary: "Write out who did what, the newest first",
		Doc: auditFields + " One JSON object per line (application/x-ndjson). The last line says `{\"end\":true}`: without it the export was cut off.", Access: rest.Need("audit.export")},
		func(ctx context.Context, in *struct {
			Filter string `query:"filter" maxLength:"1000"`
		}) (*huma.StreamResponse, error) {
			f, err := auditFilter(in.Filter)
			if err != nil {
				return nil, err
			}
			f.Limit = exportPage
			page, err := s.Catalog.AuditEvents(ctx, f)
			if err != nil {
				return nil, err
			}
			return &huma.StreamResponse{Body: func(c huma.Context) { s.export(c, f, page) }}, nil
		})
}

// exportPage is how many events are read at once: memory stays small however long the history is.
const exportPage = 500

func (s *shelf) export(c huma.Context, f catalog.AuditFilter, page []darter.AuditEvent) {
	_, w := humago.Unwrap(c)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Content-Disposition", `attachment; filename="audit-events.ndjson"`)
	out, control := json.NewEncoder(w), http.NewResponseController(w)
	for {
		_ = control.SetWriteDeadline(time.Now().Add(time.Minute)) // in memory there is none
		for _, e := range page {
			if err := out.Encode(auditEvent(e)); err != nil {
				return // nobody reads any more
			}
		}
		if len(page) < exportPage {
			_ = out.Encode(map[string]bool{"end": true}) // nobody reads any more when this fails
			return
		}
		f.Before = page[len(page)-1].ID
		var err error
		if page, err = s.Catalog.AuditEvents(c.Context(), f); err != nil {
			return // the end is missing, and says so
		}
	}
}
