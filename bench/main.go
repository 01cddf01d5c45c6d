package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// scenario is one row of the suite. Shaped ones need network namespaces; the others measure CPU,
// latency or memory on loopback.
type scenario struct {
	id, title string
	shaped    bool
	run       func(context.Context, *suite) error
}

func scenarios() []scenario {
	return []scenario{
		{"B16", "idle memory, start-up", false, runIdle},
		{"B11", "small files through the CLI, against curl and nginx", false, runSmall},
		{"B14", "CPU per GiB of one hop, against nginx sendfile and curl to file", false, runHop},
		{"B1", "flash crowd of 16 hosts on shaped links, against the bound", true, runFlash},
		{"L1", "parents killed under traffic, until they are offered no more", false, runCrash},
		{"L2", "hosts that die in silence, in virtual time", false, runSilence},
		{"L3", "host-hours with 1 % loss, in virtual time (-host-hours)", false, runFalseOffline},
		{"L4", "100,000 hosts with ten peers each die at once", false, runMassDeath},
		{"L5", "10,000 of 100,000 hosts leave, a million peers", false, runLeaves},
		{"L6", "1,000,000 hosts renew their leases", false, runSteady},
		{"L7", "memory of idle locations", false, runLocations},
		{"M1", "1,000,000 of 2,000,000 jobs reclaimed, against one DELETE and a loop of batches", false, runReclaim},
		{"M2", "the reclaiming process is killed, again and again", false, runFailover},
		{"M3", "edits of one policy through three managers at once", false, runEdits},
		{"M4", "small questions to a manager with 10,000 jobs", false, runRest},
		{"B7", "16 simultaneous cold askers, origin bytes / file", true, runOnce},
	}
}

// suite is what every scenario works with.
type suite struct {
	bin   string // darter under test
	dir   string // work folder, removed at the end
	runs  int
	quick bool
	curl  bool    // run the slow curl reference of B1 too
	trace string  // folder for the links' counters over time; empty means none
	hours float64 // host-hours of L3
	book  *book

	variant string // of B7 and M1, the only one to run; empty means all
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if len(os.Args) == 3 && os.Args[1] == workerName {
		os.Exit(work(ctx, os.Args[2]))
	}
	code := benchmark(ctx)
	stop()
	os.Exit(code)
}

func benchmark(ctx context.Context) int {
	only := flag.String("run", "", "scenarios to run, as B1,B14 (default all)")
	quick := flag.Bool("quick", false, "smaller files and one run each")
	runs := flag.Int("n", 3, "runs per variant; the table shows the median")
	bin := flag.String("bin", "", "darter binary (default: build it)")
	out := flag.String("out", "bench/out", "folder for the JSON lines")
	dir := flag.String("dir", "", "folder for data (default: a temporary one)")
	reference := flag.Bool("reference", true, "run the curl reference of B1, which takes minutes")
	trace := flag.String("trace", "", "folder for CSV files of every link's counters over time (B1, B7)")
	hours := flag.Float64("host-hours", 1e6, "host-hours of L3")
	variant := flag.String("variant", "", "of B7 and M1, the only variant to run, as \"seed killed\" or \"sqlite, paced\" (default all)")
	flag.Parse()
	if *quick && !flagSet("n") {
		*runs = 1
	}
	if *runs < 1 || *hours < 1 {
		fmt.Fprintln(os.Stderr, "bench: -n and -host-hours must be at least 1")
		return 2
	}
	chosen, err := choose(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 2
	}
	s := &suite{bin: *bin, runs: *runs, quick: *quick, curl: *reference, trace: *trace, hours: *hours, variant: *variant}
	if err := s.measure(ctx, chosen, *dir, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

func flagSet(name string) bool {
	found := false
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

func choose(only string) ([]scenario, error) {
	all := scenarios()
	if only == "" {
		return all, nil
	}
	var chosen []scenario
	for _, id := range strings.Split(only, ",") {
		i := slices.IndexFunc(all, func(s scenario) bool { return strings.EqualFold(s.id, strings.TrimSpace(id)) })
		if i < 0 {
			return nil, fmt.Errorf("there is no scenario %q; there are B1, B7, B11, B14, B16, L1 to L7, M1 to M4", id)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// measure runs the scenarios one after the other and prints the table.
func (s *suite) measure(ctx context.Context, chosen []scenario, dir, out string) error {
	unlock, err := lockMachine()
	if err != nil {
		return err
	}
	defer unlock()
	if s.dir, err = os.MkdirTemp(dir, "dtb-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	if err := s.build(ctx); err != nil {
		return err
	}
	if s.book, err = openBook(out); err != nil {
		return err
	}
	defer s.book.close()
	var failed error
	for _, one := range chosen {
		fmt.Printf("== %s: %s\n", one.id, one.title)
		err := s.one(ctx, one)
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("ended from outside: %w", context.Cause(ctx)) // what was killed with it says nothing
		}
		if err != nil {
			fmt.Printf("   FAILED: %v\n", err)
			failed = errors.Join(failed, fmt.Errorf("%s: %w", one.id, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	s.book.table(os.Stdout)
	return failed
}

func (s *suite) one(ctx context.Context, one scenario) error {
	if left, err := labLeftovers(ctx); err != nil {
		return err
	} else if len(left) > 0 {
		return fmt.Errorf("namespaces of another run exist: %s; remove them with \"ip netns del NAME\"", strings.Join(left, " "))
	}
	if one.shaped && os.Geteuid() != 0 {
		return errors.New("shaped scenarios need root for network namespaces")
	}
	return one.run(ctx, s)
}

// lockMachine keeps a second bench away: two at once would measure each other.
func lockMachine() (func(), error) {
	path := filepath.Join(os.TempDir(), "darter-bench.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another bench is running (%s is locked); shaped and CPU runs must not mix", path)
	}
	return func() { _ = f.Close() }, nil
}

// build makes the binary as it is shipped, unless one was named.
func (s *suite) build(ctx context.Context) error {
	if s.bin != "" {
		var err error
		if s.bin, err = filepath.Abs(s.bin); err != nil {
			return err
		}
		_, err = os.Stat(s.bin)
		return err
	}
	s.bin = filepath.Join(s.dir, "darter")
	cmd := exec.CommandContext(ctx, "go", "build", "-tags=grpcnotrace", "-trimpath", "-ldflags=-s -w", "-o", s.bin, "github.com/darter-p2p/darter/cmd/darter")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build darter: %w\n%s", err, out)
	}
	return nil
}

// bounded gives one run of a scenario its end.
func bounded(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("one run took longer than %v", d))
}
