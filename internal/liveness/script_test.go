package liveness

import (
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
)

var update = flag.Bool("update", false, "rewrite what follows ---- in testdata")

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// script plays transcripts: commands in, effects out. Hosts that were told to live go on renewing or announcing by
// themselves until they are silenced.
type script struct {
	t     *testing.T
	r     *Roster
	cfg   Config
	now   time.Time
	out   []string
	quiet bool     // grants and inventory questions are not shown
	only  []string // when set, only lines with one of these are shown
	hosts map[string]*actor
}

type actor struct {
	Announced
	every time.Duration
	next  time.Time
	lives bool
	lease bool
	probe string // how it answers probes: "", ok or fail
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
	sc := &script{t: t, cfg: DefaultConfig(), now: epoch, hosts: map[string]*actor{}}
	if sc.r, err = New(sc.cfg); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(string(raw)), "\n\n") {
		in, _, _ := strings.Cut(block, "\n----")
		if i > 0 {
			got.WriteString("\n")
		}
		got.WriteString(in + "\n")
		if strings.HasPrefix(in, "#") && strings.Count(in, "\n#") == strings.Count(in, "\n") {
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

func (sc *script) say(format string, args ...any) {
	d := sc.now.Sub(epoch)
	line := fmt.Sprintf("%02d:%02d.%01d ", int(d.Minutes()), int(d.Seconds())%60, d.Milliseconds()/100%10) + fmt.Sprintf(format, args...)
	if sc.only == nil || slices.ContainsFunc(sc.only, func(word string) bool { return strings.Contains(line, word) }) {
		sc.out = append(sc.out, line)
	}
}

func (sc *script) step(ev Evidence) {
	var answers []Evidence
	for _, e := range sc.r.Step(sc.now, ev) {
		switch e := e.(type) {
		case Grant:
			if a := sc.hosts[string(e.Host)]; a != nil && e.Interval > 0 {
				a.every, a.next = e.Interval, sc.now.Add(e.Interval)
			}
			if !sc.quiet || e.Interval == 0 {
				sc.say("%s", e)
			}
		case Probe:
			a := sc.hosts[string(e.Host)]
			if a != nil && a.probe != "" {
				answers = append(answers, Probed{Host: e.Host, OK: a.probe == "ok"})
			}
			sc.say("%s", e)
		case Wake:
		case AskInventory:
			if !sc.quiet {
				sc.say("%s", e)
			}
		default:
			sc.say("%s", e)
		}
	}
	check(sc.t, sc.r)
	for _, a := range answers {
		sc.step(a)
	}
}

// elapse lets time pass with a tick each, and with the words of those that live.
func (sc *script) elapse(d time.Duration) {
	names := slices.Sorted(maps.Keys(sc.hosts))
	for end := sc.now.Add(d); sc.now.Before(end); {
		sc.now = sc.now.Add(min(sc.cfg.Tick, end.Sub(sc.now)))
		sc.step(Tick{})
		for _, name := range names {
			if a := sc.hosts[name]; a.lives && !a.next.After(sc.now) {
				sc.speak(a)
			}
		}
	}
}

func (sc *script) speak(a *actor) {
	a.next = sc.now.Add(a.every)
	if !a.lease {
		sc.step(a.Announced)
		return
	}
	if d, done := sc.r.Renew(sc.now, a.Host, a.Epoch); done {
		a.every, a.next = d, sc.now.Add(d)
		return
	}
	sc.step(Renewed{Host: a.Host, Epoch: a.Epoch, Conn: a.Conn})
}

func (sc *script) number(text string) uint64 {
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		sc.t.Fatal(err)
	}
	return n
}

func (sc *script) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		sc.t.Fatal(err)
	}
	return d
}

// span reads "h1..20" as twenty names.
func span(text string) []string {
	head, last, is := strings.Cut(text, "..")
	if !is {
		return []string{text}
	}
	i := strings.LastIndexFunc(head, func(r rune) bool { return r < '0' || r > '9' }) + 1
	from, _ := strconv.Atoi(head[i:])
	to, _ := strconv.Atoi(last)
	var out []string
	for n := from; n <= to; n++ {
		out = append(out, fmt.Sprint(head[:i], n))
	}
	return out
}

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
		} else {
			args = append(args, span(w)...)
		}
	}
	if sc.world(f[0], args, opts) {
		return
	}
	for _, name := range args {
		sc.host(f[0], name, opts)
	}
}

// world runs the commands that are not about one host.
func (sc *script) world(verb string, args []string, opts map[string]string) bool {
	switch verb {
	case "quietly":
		sc.quiet = true
	case "only":
		sc.only = args
	case "run":
		sc.elapse(sc.duration(args[0]))
	case "stall": // no tick for so long
		sc.now = sc.now.Add(sc.duration(args[0]))
	case "restarted":
		sc.step(Restarted{})
	case "health":
		h := Health{Jumped: opts["jumped"] != "", Throttled: opts["throttled"] != ""}
		if opts["lag"] != "" {
			h.Lag = sc.duration(opts["lag"])
		}
		sc.step(h)
	case "policy":
		sc.step(PolicyChanged{Policy: sc.policy(opts)})
	case "confirm":
		z, _ := ParseZone(args[0])
		sc.step(Confirm{Zone: z, All: args[0] == "all"})
	case "override":
		z, _ := ParseZone(args[0])
		sc.step(Override{Zone: z, All: args[0] == "all", Until: sc.now.Add(sc.duration(opts["for"]))})
	case "stats":
		s := sc.r.Stats()
		sc.say("stats hosts %v, %d tombstones, %d leased, multiplier %d", s.Hosts[1:], s.Tombstones, s.Leased, s.Multiplier)
		for why, n := range s.Notes {
			if n > 0 {
				sc.say("stats %s: %d", Reason(why), n)
			}
		}
		for exit, n := range s.Exits {
			if n > 0 {
				sc.say("stats exit %s: %d", darter.Exit(exit), n)
			}
		}
	default:
		return false
	}
	return true
}

func (sc *script) policy(opts map[string]string) Policy {
	p := sc.r.Policy()
	p.Number = max(sc.number(opts["number"]), p.Number+1)
	for k, v := range opts {
		switch k {
		case "lease":
			p.Lease.Interval = Duration(sc.duration(v))
		case "forget":
			p.Forget.After = Duration(sc.duration(v))
		case "tombstones":
			p.Forget.Tombstones = int(sc.number(v))
		case "hosts":
			p.Limit.Hosts = int(sc.number(v))
		case "suspect":
			p.Lease.SuspectAfter, _ = strconv.ParseFloat(v, 64)
		}
	}
	return p
}

func (sc *script) actor(name string, opts map[string]string) *actor {
	a := sc.hosts[name]
	if a == nil {
		a = &actor{Announced: Announced{Host: darter.HostID(name), Native: true, Zone: ZoneOf(1, "", "")}}
		sc.hosts[name] = a
	}
	for k, v := range opts {
		switch k {
		case "epoch":
			a.Epoch = darter.Epoch(sc.number(v))
		case "zone":
			a.Zone = ZoneOf(1, v, "")
		case "conn":
			a.Conn = sc.number(v)
		case "store":
			a.Storage = v
		case "interval":
			a.Interval = sc.duration(v)
		case "native":
			a.Native = v == "yes"
		case "addr":
			a.Addr = netip.MustParseAddrPort(v)
		case "probes":
			a.probe = v
		}
	}
	return a
}

func (sc *script) host(verb, name string, opts map[string]string) {
	id, by := darter.HostID(name), darter.HostID(opts["by"])
	switch verb {
	case "lease": // announces itself, and renews from then on
		a := sc.actor(name, opts)
		sc.step(a.Announced)
		a.lives, a.lease = true, true
		sc.speak(a)
	case "plain": // announces itself as Dragonfly's daemons do, again and again
		a := sc.actor(name, opts)
		a.Native, a.lives, a.lease, a.every, a.next = false, true, false, a.Interval, sc.now.Add(a.Interval)
		if a.every <= 0 {
			a.every, a.next = 300*time.Second, sc.now.Add(300*time.Second)
		}
		sc.step(a.Announced)
	case "announce": // once
		sc.step(sc.actor(name, opts).Announced)
	case "restored":
		a := sc.actor(name, opts)
		sc.step(Restored{Announced: a.Announced})
	case "silence":
		sc.actor(name, opts).lives = false
	case "speak":
		a := sc.actor(name, opts)
		a.lives = true
		sc.speak(a)
	case "renew":
		sc.step(Renewed{Host: id, Epoch: sc.actor(name, nil).Epoch})
	case "heard":
		sc.step(Heard{Host: id})
	case "report":
		sc.step(ChildFailed{Host: id, By: by})
	case "served":
		sc.step(Served{Host: id, By: by})
	case "reset":
		sc.step(StreamReset{Host: id, Conn: sc.number(opts["conn"])})
	case "hint":
		sc.step(Hinted{Host: id})
	case "probed":
		sc.step(Probed{Host: id, OK: opts["ok"] == "yes"})
	case "leave":
		sc.step(Leave{Host: id, Epoch: darter.Epoch(sc.number(opts["epoch"])), Conn: sc.number(opts["conn"]), Draining: opts["draining"] != ""})
	case "drain":
		sc.step(Drain{Host: id, Undo: opts["undo"] != ""})
	case "forget":
		sc.step(Forget{Host: id, Force: opts["force"] != ""})
	case "events":
		for _, e := range sc.r.Events(id) {
			sc.say("event %s %s epoch %d %s -> %s: %s (%s) heard %s, exit %s, %d times", e.At.Sub(epoch), e.Host, e.Epoch, e.From, e.To, e.Reason, e.Evidence,
				e.LastHeard.Sub(epoch), e.Exit, e.Times)
		}
	default:
		sc.t.Fatalf("unknown command %q", verb)
	}
}
