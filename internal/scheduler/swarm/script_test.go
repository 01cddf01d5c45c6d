package swarm

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
)

var update = flag.Bool("update", false, "rewrite what follows ---- in testdata")

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var verdicts = map[string]darter.Verdict{"leave": darter.Left, "alive": darter.Alive, "late": darter.Late, "suspect": darter.Suspect,
	"offline": darter.Offline, "drain": darter.Draining, "forget": darter.Forgotten}

// script plays transcripts: commands in, effects out.
type script struct {
	t      *testing.T
	s      *Swarm
	now    time.Time
	wake   time.Time
	pieces int
	out    []string
	ips    byte
}

func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { play(t, file) })
	}
}

func play(t *testing.T, file string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(DefaultConfig(), 1)
	if err != nil {
		t.Fatal(err)
	}
	sc := &script{t: t, s: s, now: epoch, pieces: 8}
	var got strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(string(raw)), "\n\n") {
		in, _, _ := strings.Cut(block, "\n----")
		if i > 0 {
			got.WriteString("\n")
		}
		got.WriteString(in + "\n")
		if strings.HasPrefix(in, "#") && !strings.Contains(block, "\n----") && strings.Count(in, "\n#") == strings.Count(in, "\n") {
			continue // a paragraph of comment
		}
		sc.out = nil
		for line := range strings.Lines(in) {
			sc.run(strings.TrimSpace(line))
		}
		got.WriteString("----\n")
		for _, line := range sc.out {
			got.WriteString(line + "\n")
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := string(raw); got.String() != want {
		t.Errorf("%s differs (go test -update rewrites it):\n%s", file, got.String())
	}
}

func (sc *script) step(ev Event) {
	for _, e := range sc.s.Step(sc.now, ev) {
		if w, is := e.(Wake); is {
			sc.wake = w.At
			continue
		}
		sc.out = append(sc.out, fmt.Sprintf("%s %s", sc.clock(), e))
	}
	check(sc.t, sc.s)
}

func (sc *script) clock() string {
	d := sc.now.Sub(epoch).Truncate(time.Second)
	return fmt.Sprintf("%02d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

// elapse lets time pass, with a tick whenever the swarm asked for one and every five seconds.
func (sc *script) elapse(d time.Duration) {
	end := sc.now.Add(d)
	for sc.now.Before(end) {
		next := sc.now.Add(5 * time.Second)
		if sc.wake.After(sc.now) && sc.wake.Before(next) {
			next = sc.wake
		}
		if next.After(end) {
			next = end
		}
		sc.now = next
		sc.step(Tick{})
		sc.catchUp()
	}
}

// catchUp ticks as long as the swarm asks for it at once.
func (sc *script) catchUp() {
	for range 10_000 {
		if sc.wake.IsZero() || sc.wake.After(sc.now) {
			return
		}
		sc.wake = time.Time{}
		sc.step(Tick{})
	}
	sc.t.Fatal("the swarm asks for ticks without end")
}

func hostOf(peer string) string { name, _, _ := strings.Cut(peer, "/"); return name }

func (sc *script) run(line string) {
	f := strings.Fields(line)
	if len(f) == 0 || strings.HasPrefix(line, "#") {
		return
	}
	opts := map[string]string{}
	var args []string
	for _, w := range f[1:] {
		if k, v, is := strings.Cut(w, "="); is {
			opts[k] = v
		} else if strings.Contains(" seed plain noshare range metadata disable needsource ok down origin permanent missing complete ", " "+w+" ") {
			opts[w] = "yes"
		} else {
			args = append(args, w)
		}
	}
	switch f[0] {
	case "pieces":
		sc.pieces = sc.number(args[0])
	case "run":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			sc.t.Fatalf("%s: %v", line, err)
		}
		sc.elapse(d)
	case "restarted":
		sc.step(Restarted{})
	case "set":
		sc.configure(opts)
	case "show":
		sc.show(args[0])
	case "host":
		for _, name := range args {
			sc.host(name, opts)
		}
	default:
		for _, name := range strings.Split(args[0], ",") {
			sc.peer(line, f[0], name, args[1:], opts)
		}
	}
}

// configure changes settings of the story before it begins.
func (sc *script) configure(opts map[string]string) {
	cfg := DefaultConfig()
	for k, v := range opts {
		n, _ := strconv.Atoi(v)
		switch k {
		case "step":
			cfg.StepItems = n
		case "peers":
			cfg.MaxPeers = n
		case "locations":
			cfg.MaxLocations = n
		case "page":
			cfg.PageItems = n
		default:
			sc.t.Fatalf("no setting %q", k)
		}
	}
	s, err := New(cfg, 1)
	if err != nil {
		sc.t.Fatal(err)
	}
	sc.s = s
}

// show prints what is known of a host.
func (sc *script) show(name string) {
	v, known := sc.s.Host(darter.HostID(name))
	if !known {
		sc.out = append(sc.out, name+" is not known")
		return
	}
	sc.out = append(sc.out, fmt.Sprintf("%s is %s: %d peers, %d locations", name, v.Verdict, v.Peers, v.Copies))
	for h := range sc.s.Holdings(darter.HostID(name)) {
		what := "all"
		if !h.Complete {
			what = h.Pieces.String()
		}
		sc.out = append(sc.out, fmt.Sprintf("    %s: %s, counts %v", h.Peer, what, h.Counts))
	}
}

// inventory sends a page: "holds a t=all u=0-3 complete", "lost a t".
func (sc *script) inventory(verb string, host darter.HostID, args []string, opts map[string]string) {
	e, _ := strconv.ParseUint(opts["epoch"], 10, 64)
	page := InventoryPage{Host: host, Epoch: darter.Epoch(e), Complete: opts["complete"] != ""}
	layout := darter.Layout{Length: int64(sc.pieces) * darter.MinPieceLength, PieceLength: darter.MinPieceLength}
	for _, id := range []string{"t", "u", "v", "w"} {
		if what := opts[id]; what == "all" {
			page.Add = append(page.Add, darter.Location{Task: darter.TaskID(id), Layout: layout, Complete: true})
		} else if what != "" {
			page.Add = append(page.Add, darter.Location{Task: darter.TaskID(id), Layout: layout, Pieces: sc.set(what)})
		}
	}
	for _, id := range args {
		page.Remove = append(page.Remove, darter.TaskID(id))
	}
	sc.step(page)
}

func (sc *script) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		sc.t.Fatal(err)
	}
	return n
}

func (sc *script) set(text string) darter.PieceSet {
	set, err := darter.ParsePieceSet(text, 1<<20)
	if err != nil {
		sc.t.Fatal(err)
	}
	return set
}

func (sc *script) host(name string, opts map[string]string) {
	sc.ips++
	h := darter.Host{ID: darter.HostID(name), IP: netip.AddrFrom4([4]byte{10, 0, 0, sc.ips}), Port: 4000, IDC: opts["idc"],
		Native: opts["plain"] == "", NoSharing: opts["noshare"] != ""}
	if opts["seed"] != "" {
		h.Kind = darter.Seed
	}
	if e := opts["epoch"]; e != "" {
		h.Epoch = darter.Epoch(sc.number(e))
	}
	if d, err := time.ParseDuration(opts["keeps"]); err == nil {
		h.Keeps = d
	}
	if id := opts["store"]; id != "" {
		h.Storage = darter.StorageID(sc.number(id))
	}
	sc.step(HostAnnounced{Host: h})
}

func (sc *script) want(opts map[string]string) darter.Want {
	w := darter.Want{URL: "http://origin/f", LayoutKnown: true, MetadataOnly: opts["metadata"] != "", DisableSource: opts["disable"] != "",
		NeedSource: opts["needsource"] != ""}
	w.Layout = darter.Layout{Length: int64(sc.pieces) * darter.MinPieceLength, PieceLength: darter.MinPieceLength}
	if p := opts["prio"]; p != "" {
		w.Priority = darter.Priority(sc.number(p))
	}
	if r := opts["want"]; r != "" {
		n := sc.set(r).Numbers()
		w.Range = &darter.Range{Start: int64(n[0]) * darter.MinPieceLength, Length: int64(len(n)) * darter.MinPieceLength}
	}
	return w
}

func (sc *script) peer(line, verb, name string, args []string, opts map[string]string) {
	id := darter.PeerID(name)
	host := darter.HostID(hostOf(name))
	arg := func(i int) string {
		if i >= len(args) {
			sc.t.Fatalf("%q lacks a word", line)
		}
		return args[i]
	}
	fault := func(i int) Fault {
		if i >= len(args) {
			return Fault{}
		}
		return Fault{Status: sc.number(args[i])}
	}
	switch verb {
	case "register":
		sc.step(Registered{Host: host, Peer: id, Task: "t", Want: sc.want(opts), Held: sc.set(opts["held"])})
	case "start":
		sc.step(PeerStarted{Peer: id})
	case "fetches":
		sc.step(SourceStarted{Peer: id})
	case "gets":
		from, traffic := darter.PeerID(opts["from"]), darter.FromPeer
		if opts["origin"] != "" {
			traffic = darter.FromSource
		}
		for n := range sc.set(arg(0)).All() {
			sc.step(PieceDone{Peer: id, Piece: n, Parent: from, Traffic: traffic})
		}
	case "misses":
		sc.step(PieceFailed{Peer: id, Parent: darter.PeerID(arg(0)), Piece: uint32(sc.number(arg(1))), Temporary: opts["permanent"] == "", Missing: opts["missing"] != ""})
	case "source-misses":
		sc.step(PieceSourceFailed{Peer: id, Piece: uint32(sc.number(arg(0))), Fault: fault(1)})
	case "reschedule":
		var lost []darter.PeerID
		for _, a := range args {
			lost = append(lost, darter.PeerID(a))
		}
		sc.step(Rescheduled{Peer: id, Lost: lost})
	case "finish":
		sc.step(PeerFinished{Peer: id})
		sc.step(StreamEnded{Peer: id})
	case "source-finish":
		sc.step(SourceFinished{Peer: id})
		sc.step(StreamEnded{Peer: id})
	case "fail":
		sc.step(PeerFailed{Peer: id})
	case "source-fail":
		sc.step(SourceFailed{Peer: id, Fault: fault(0)})
	case "breaks":
		sc.step(StreamEnded{Peer: id})
	case "leave", "alive", "late", "suspect", "offline", "drain", "forget":
		e, _ := strconv.ParseUint(opts["epoch"], 10, 64)
		sc.step(HostVerdict{Host: host, Epoch: darter.Epoch(e), Verdict: verdicts[verb], Reason: opts["why"]})
	case "holds", "lost":
		sc.inventory(verb, host, args, opts)
	case "delete":
		sc.step(TaskDeleted{Host: host, Task: "t"})
	case "trigger-fails":
		sc.step(SeedFailed{Task: "t", Host: host, Fault: fault(0)})
	case "trigger-ends":
		sc.step(SeedDone{Task: "t", Host: host})
	case "health":
		sc.step(SeedHealth{Host: host, OK: opts["ok"] != ""})
	default:
		sc.t.Fatalf("unknown command %q", line)
	}
}
