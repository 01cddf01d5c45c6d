package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// labPrefix begins the name of every namespace of a lab; nothing else on the machine may use it.
const labPrefix = "dtb"

// lab is a network of its own: a bridge in a namespace, a namespace per host, no link to the
// machine's own network, addresses of RFC 2544.
//
//	dtb-switch: br0 ── p0 ═══ eth0 :dtb-0   198.18.0.10
//	                └─ p1 ═══ eth0 :dtb-1   198.18.0.11 ...
//
// The host's end shapes what it sends, the bridge's end what it receives.
type lab struct{ names []string }

// link is the shape of a host's link in Mbit/s; 0 means unshaped.
type link struct{ up, down int }

// hostName and hostIP name the i-th host of a lab.
func hostName(i int) string { return fmt.Sprintf("%s-%d", labPrefix, i) }
func hostIP(i int) string   { return fmt.Sprintf("198.18.%d.%d", i/200, 10+i%200) }

// newLab builds a lab of one host per link.
func newLab(ctx context.Context, links []link) (*lab, error) {
	l := &lab{}
	if err := l.build(ctx, links); err != nil {
		return nil, errors.Join(err, l.close(ctx))
	}
	return l, nil
}

func (l *lab) build(ctx context.Context, links []link) error {
	bridge := labPrefix + "-switch"
	if err := l.namespace(ctx, bridge); err != nil {
		return err
	}
	if err := batch(ctx, "ip", bridge, "link add br0 type bridge", "link set br0 up"); err != nil {
		return err
	}
	for i, shape := range links {
		name, port := hostName(i), fmt.Sprintf("p%d", i)
		if err := l.namespace(ctx, name); err != nil {
			return err
		}
		if err := command(ctx, "", "ip", "link", "add", port, "netns", bridge, "type", "veth", "peer", "name", "eth0", "netns", name); err != nil {
			return err
		}
		if err := errors.Join(
			batch(ctx, "ip", bridge, "link set "+port+" master br0", "link set "+port+" up"),
			batch(ctx, "ip", name, "link set lo up", "addr add "+hostIP(i)+"/15 dev eth0", "link set eth0 up"),
			shapeTo(ctx, name, "eth0", shape.up),
			shapeTo(ctx, bridge, port, shape.down),
		); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) namespace(ctx context.Context, name string) error {
	if err := command(ctx, "", "ip", "netns", "add", name); err != nil {
		return err
	}
	l.names = append(l.names, name)
	return nil
}

// shapeTo limits what leaves through a device. Packets here are up to 64 KiB, so the bucket must
// hold several.
func shapeTo(ctx context.Context, namespace, device string, megabits int) error {
	if megabits == 0 {
		return nil
	}
	return batch(ctx, "tc", namespace, fmt.Sprintf("qdisc add dev %s root tbf rate %dmbit burst 256k latency 100ms", device, megabits))
}

// close removes what this lab made. Its processes must have ended.
func (l *lab) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute) // also after Ctrl-C
	defer cancel()
	var failed error
	for _, name := range l.names {
		failed = errors.Join(failed, command(ctx, "", "ip", "netns", "del", name))
	}
	l.names = nil
	return failed
}

// labLeftovers lists namespaces that look like a lab's.
func labLeftovers(ctx context.Context) ([]string, error) {
	entries, err := os.ReadDir("/run/netns")
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var left []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), labPrefix+"-") {
			left = append(left, e.Name())
		}
	}
	return left, err
}

// batch gives ip or tc several lines at once inside a namespace.
func batch(ctx context.Context, tool, namespace string, lines ...string) error {
	return command(ctx, strings.Join(lines, "\n")+"\n", tool, "-n", namespace, "-batch", "-")
}

func command(ctx context.Context, input, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// bound is the least time in seconds in which a file of size bytes can reach n hosts that start at
// once, with a seed of uplink us and hosts of links ui and di, all in Mbit/s (fluid model).
func bound(size int64, us float64, hosts []link) float64 {
	bits, n := float64(size)*8, float64(len(hosts))
	sum, slowest := us, 0.0
	for _, h := range hosts {
		sum += float64(h.up)
		if d := float64(h.down); slowest == 0 || d < slowest {
			slowest = d
		}
	}
	return max(bits/(us*1e6), bits/(slowest*1e6), n*bits/(sum*1e6))
}
