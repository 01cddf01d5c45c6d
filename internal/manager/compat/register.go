package compat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/rest"
)

// Rooms are what the old routes are translated onto.
type Rooms struct {
	Jobs     Jobs     // required
	Clusters Clusters // required
	People   People   // required
}

// Order is a job to make.
type Order struct {
	Kind        darter.JobKind
	URLs        []string
	TaskID      string
	Tag         string
	Application string
	Filtered    []string // nil: the built-in list
	PieceLength int64
	Headers     map[string]string
	Platforms   []string
	DigestAsID  *bool // nil: as is usual for the kind
	Targets     darter.Targets
	Clusters    []uint64
	TasksAtOnce uint32
	HostsAtOnce uint32
	Timeout     time.Duration
	Records     string
	Bio         string
}

// Job is a job as it stands. Its order has no headers.
type Job struct {
	Order
	Number   int64
	ID       darter.JobID
	State    darter.JobState
	Owner    string
	Failure  darter.Failure
	Text     string
	Created  time.Time
	Updated  time.Time
	Finished time.Time
}

// Result is what became of a job in one cluster.
type Result struct {
	Cluster uint64
	Good    []Place
	Bad     []Place
}

// Place is one content at one host.
type Place struct {
	URL      string
	Task     string
	Host     string // id
	Hostname string
	IP       string
	Kind     darter.HostKind
	Text     string
}

// Jobs makes and shows jobs on behalf of the caller of a request. Errors are those of native requests.
type Jobs interface {
	Create(ctx context.Context, o Order) (Job, error)
	Get(ctx context.Context, number int64) (Job, error)
	// List returns jobs, the newest first, from an offset on, and how many there are in all.
	List(ctx context.Context, kinds []darter.JobKind, states []darter.JobState, offset, limit int) ([]Job, int64, error)
	// Results returns at most limit places of each sort per cluster.
	Results(ctx context.Context, j Job, limit int) ([]Result, error)
	// Cancel asks for the end of a job; one that is over stays as it is.
	Cancel(ctx context.Context, number int64) (Job, error)
	Describe(ctx context.Context, number int64, bio string) (Job, error)
	// Wait returns the job as soon as it is over, and as it stands when ctx ends.
	Wait(ctx context.Context, number int64) (Job, error)
	// Purged returns how many rows a job of kind gc.records removed, and how long they are kept.
	Purged(ctx context.Context, j Job) (rows int64, kept time.Duration, err error)
}

// Cluster is a cluster by the number that the old interface knows.
type Cluster struct {
	Number    int64
	Name      string
	Bio       string
	Default   bool
	IDC       string
	Location  string
	CIDRs     []string
	Hostnames []string
	Scheduler json.RawMessage // configuration for its schedulers
	Client    json.RawMessage // configuration for its daemons
	Created   time.Time
	Updated   time.Time
}

// Clusters keeps clusters on behalf of the caller of a request.
type Clusters interface {
	All(ctx context.Context) ([]Cluster, error) // by number; those that the caller may see
	Get(ctx context.Context, number int64) (Cluster, error)
	Create(ctx context.Context, c Cluster) (Cluster, error)
	// Change calls change with the cluster as it is, and keeps what it then says.
	Change(ctx context.Context, number int64, change func(*Cluster)) (Cluster, error)
	Delete(ctx context.Context, number int64) error
}

// People hands out tokens for names and passwords.
type People interface {
	SignIn(ctx context.Context, name, password string) (token string, expires time.Time, err error)
	// Refresh makes a successor of the token that the request came with.
	Refresh(ctx context.Context) (token string, expires time.Time, err error)
	// SignOut ends that token.
	SignOut(ctx context.Context) error
}

// desk is the routes' common ground.
type desk struct {
	api *rest.API
	Rooms
}

// Register adds the routes.
func Register(api *rest.API, rooms Rooms) {
	d := &desk{api: api, Rooms: rooms}
	old := func(permission string) rest.Access {
		a := rest.NeedSomewhere(permission)
		a.Basic, a.Patient = true, true
		return a
	}
	signedIn := rest.Access{SignedIn: true, Basic: true, Patient: true}
	public := rest.Access{Public: "signing in needs no credential"}
	for _, r := range []struct {
		pattern string
		access  rest.Access
		handle  func(ctx context.Context, q *ask) (any, error)
	}{
		{"POST /oapi/v1/jobs", old("job.create"), d.createJob},
		{"GET /oapi/v1/jobs", old("job.read"), d.listJobs},
		{"GET /oapi/v1/jobs/{id}", old("job.read"), d.getJob},
		{"PATCH /oapi/v1/jobs/{id}", old("job.cancel"), d.patchJob},
		{"DELETE /oapi/v1/jobs/{id}", old("job.cancel"), d.deleteJob},
		{"POST /oapi/v1/clusters", old("cluster.write"), d.createCluster},
		{"GET /oapi/v1/clusters", old("cluster.read"), d.listClusters},
		{"GET /oapi/v1/clusters/{id}", old("cluster.read"), d.getCluster},
		{"PATCH /oapi/v1/clusters/{id}", old("cluster.write"), d.patchCluster},
		{"DELETE /oapi/v1/clusters/{id}", old("cluster.write"), d.deleteCluster},
		{"POST /api/v1/users/signin", public, d.signIn},
		{"POST /api/v1/users/refresh_token", signedIn, d.refresh},
		{"POST /api/v1/users/signout", signedIn, d.signOut},
	} {
		api.Handle(r.pattern, r.access, d.handler(r.handle))
	}
}

// ask is a request, and what the answer has beside its body.
type ask struct {
	*http.Request
	header http.Header
}

// handler answers with 200 and JSON, or with a problem that has the old "message" as well.
func (d *desk) handler(handle func(ctx context.Context, q *ask) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := handle(r.Context(), &ask{r, w.Header()})
		if err != nil {
			refuse(d.api, w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		if body != nil {
			_ = json.NewEncoder(w).Encode(body) // the caller is gone when this fails
		}
	})
}

// Refuse refuses a request as the API does, with the old "message" on paths of the old interface. It is for what stands
// before the routes: a script reads the same member whoever refuses it.
func Refuse(api *rest.API, w http.ResponseWriter, r *http.Request, err error) {
	if strings.HasPrefix(r.URL.Path, "/oapi/") || strings.HasPrefix(r.URL.Path, "/api/") {
		refuse(api, w, r, err)
		return
	}
	api.Refuse(w, r, err)
}

// refuse writes the API's problem with a member more.
func refuse(api *rest.API, w http.ResponseWriter, r *http.Request, err error) {
	out := held{header: w.Header()}
	api.Refuse(&out, r, err)
	var members map[string]any
	if json.Unmarshal(out.body.Bytes(), &members) == nil {
		members["message"] = fmt.Sprint(members["detail"])
	}
	w.WriteHeader(out.status)
	_ = json.NewEncoder(w).Encode(members) // the caller is gone when this fails
}

// held keeps an answer to be changed.
type held struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *held) Header() http.Header         { return h.header }
func (h *held) WriteHeader(status int)      { h.status = status }
func (h *held) Write(b []byte) (int, error) { return h.body.Write(b) }

// read decodes the body. Members that nobody knows are passed over, as they always were.
func (q *ask) read(into any) error {
	raw, err := io.ReadAll(q.Body)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		raw = []byte("{}")
	}
	if err := json.Unmarshal(raw, into); err != nil {
		why := "the body is not the JSON that this route takes"
		if t, is := errors.AsType[*json.UnmarshalTypeError](err); is {
			why = fmt.Sprintf("a %s does not fit into %s", t.Value, t.Field)
		}
		return rest.Refusal(http.StatusBadRequest, rest.Invalid, why)
	}
	return nil
}

// number reads the id of the path.
func (q *ask) number() (int64, error) {
	n, err := strconv.ParseInt(q.PathValue("id"), 10, 64)
	if err != nil || n < 1 {
		return 0, rest.Refusal(http.StatusNotFound, rest.NotFound, "an id is a number here, and there is none such")
	}
	return n, nil
}

// page reads page and per_page as the old interface has them.
func (q *ask) page() (page, size int) {
	atLeast := func(name string, most, usual int) int {
		n, err := strconv.Atoi(q.URL.Query().Get(name))
		if err != nil || n < 1 {
			return usual
		}
		return min(n, most)
	}
	return atLeast("page", maxPage, 1), atLeast("per_page", 1000, 10)
}

// maxPage bounds how far one can count on.
const maxPage = 100_000

// link says where the other pages are.
func (q *ask) link(page, size int, total int64) {
	last := max(1, int((total+int64(size)-1)/int64(size)))
	var out []string
	for _, to := range []struct {
		rel  string
		page int
		on   bool
	}{{"prev", page - 1, page > 1}, {"next", page + 1, page < last}, {"first", 1, true}, {"last", last, true}} {
		if !to.on {
			continue
		}
		values := url.Values{}
		for name, v := range q.URL.Query() {
			values[name] = v
		}
		values.Set("page", strconv.Itoa(to.page))
		values.Set("per_page", strconv.Itoa(size))
		out = append(out, "<"+q.URL.EscapedPath()+"?"+values.Encode()+`>; rel="`+to.rel+`"`)
	}
	q.header.Set("Link", strings.Join(out, ", "))
}
