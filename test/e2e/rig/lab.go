package rig

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Lab is a network of its own: a bridge in a namespace, a namespace per host, no way to the machine's own network,
// addresses of RFC 2544.
//
//	NAME-switch: br0 ── p0 ═══ eth0 :NAME-0   198.18.0.10
//	                 └─ p1 ═══ eth0 :NAME-1   198.18.0.11 ...
//
// Cables are pulled, and packets lost, at the bridge's end: the host sees its carrier go, or nothing at all.
type Lab struct {
	name  string
	hosts int
	made  []string // namespaces
}

// NewLab builds a lab. The name must be short, and unique on the machine.
func NewLab(ctx context.Context, name string, hosts int) (*Lab, error) {
	l := &Lab{name: name, hosts: hosts}
	if err := l.build(ctx); err != nil {
		return nil, errors.Join(err, l.Close(ctx))
	}
	return l, nil
}

func (l *Lab) build(ctx context.Context) error {
	if err := l.namespace(ctx, l.bridge()); err != nil {
		return err
	}
	if err := tool(ctx, "ip", l.bridge(), "link add br0 type bridge", "link set br0 up"); err != nil {
		return err
	}
	for i := range l.hosts {
		name, port := l.Netns(i), l.port(i)
		if err := l.namespace(ctx, name); err != nil {
			return err
		}
		if err := execute(ctx, "", "ip", "link", "add", port, "netns", l.bridge(), "type", "veth", "peer", "name", "eth0", "netns", name); err != nil {
			return err
		}
		if err := errors.Join(
			tool(ctx, "ip", l.bridge(), "link set "+port+" master br0", "link set "+port+" up"),
			tool(ctx, "ip", name, "link set lo up", "addr add "+l.IP(i)+"/15 dev eth0", "link set eth0 up"),
		); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) namespace(ctx context.Context, name string) error {
	if err := execute(ctx, "", "ip", "netns", "add", name); err != nil {
		return err
	}
	l.made = append(l.made, name)
	return nil
}

func (l *Lab) bridge() string    { return l.name + "-switch" }
func (l *Lab) port(i int) string { return fmt.Sprintf("p%d", i) }

// Netns returns the namespace of a host.
func (l *Lab) Netns(i int) string { return fmt.Sprintf("%s-%d", l.name, i) }

// IP returns the address of a host.
func (l *Lab) IP(i int) string { return fmt.Sprintf("198.18.%d.%d", i/200, 10+i%200) }

// Pull takes a host's cable out.
func (l *Lab) Pull(ctx context.Context, i int) error {
	return tool(ctx, "ip", l.bridge(), "link set "+l.port(i)+" down")
}

// Plug puts a host's cable in again.
func (l *Lab) Plug(ctx context.Context, i int) error {
	return tool(ctx, "ip", l.bridge(), "link set "+l.port(i)+" up")
}

// Lose drops this share of the packets of a host, at random, in each direction. 0 drops none again.
func (l *Lab) Lose(ctx context.Context, i int, share float64) error {
	if share <= 0 {
		return tool(ctx, "tc", l.bridge(), "qdisc del dev "+l.port(i)+" clsact")
	}
	// A program for the classic packet filter: draw a number, and drop what is below the share. Not every kernel has
	// netem, but each has this.
	//
	//	A = random; if A >= share*2^32 pass (0) else drop (TC_ACT_SHOT, 2)
	program := fmt.Sprintf("4,32 0 0 4294963256,53 1 0 %d,6 0 0 2,6 0 0 0", uint64(share*math.MaxUint32))
	filter := func(direction string) error {
		return execute(ctx, "", "tc", "-n", l.bridge(), "filter", "add", "dev", l.port(i), direction, "bpf", "da", "bytecode", program)
	}
	return errors.Join(
		tool(ctx, "tc", l.bridge(), "qdisc add dev "+l.port(i)+" clsact"), filter("ingress"), filter("egress"))
}

// Close removes what the lab made. Its processes must have ended.
func (l *Lab) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute) // also when the test's time is over
	defer cancel()
	var failed error
	for _, name := range l.made {
		failed = errors.Join(failed, execute(ctx, "", "ip", "netns", "del", name))
	}
	l.made = nil
	return failed
}

// Within does something in a network namespace: sockets that are opened there stay there. The empty name is the own one.
func Within(netns string, do func() error) error {
	if netns == "" {
		return do()
	}
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	there, err := os.Open("/run/netns/" + netns)
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter %s: %w", netns, err)
	}
	err = do()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("leave %s: %w", netns, back)) // the thread stays locked, and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// tool gives ip or tc several lines at once inside a namespace.
func tool(ctx context.Context, name, netns string, lines ...string) error {
	return execute(ctx, strings.Join(lines, "\n")+"\n", name, "-n", netns, "-batch", "-")
}

func execute(ctx context.Context, input, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
