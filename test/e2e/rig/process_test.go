package rig_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter/test/e2e/rig"
)

func TestReadyLineIsFoundAmongOthers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	p, err := rig.Start(rig.Command{Name: "talker", Program: "sh", Args: []string{"-c",
		`echo '{"msg":"starting"}'; printf '{"msg":"re'; printf 'ady","role":"daemon","upload":"127.0.0.1:41","n":3}\n' >&2; exec sleep 60`}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	ready, err := p.WaitReady(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if ready["role"] != "daemon" || ready["upload"] != "127.0.0.1:41" {
		t.Errorf("ready = %v", ready)
	}
	if err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestWaitReadyTellsHowTheProcessDied(t *testing.T) {
	p, err := rig.Start(rig.Command{Name: "quitter", Program: "sh", Args: []string{"-c", "echo no such folder; exit 7"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.WaitReady(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no such folder") || p.ExitCode() != 7 {
		t.Errorf("err = %v, code %d", err, p.ExitCode())
	}
}

func TestStopKillsWhoWillNotEnd(t *testing.T) {
	p, err := rig.Start(rig.Command{Name: "deaf", Program: "sh", Args: []string{"-c",
		`trap '' TERM; echo '{"msg":"ready"}'; while :; do sleep 1; done`}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Stop(ctx); err == nil {
		t.Error("a process that ignores SIGTERM was said to have stopped")
	}
	<-p.Done()
}

func TestParseReadyRefusesOtherLines(t *testing.T) {
	for _, line := range []string{"", "ready", `{"msg":"read"}`, `{"msg":`, `["ready"]`} {
		if facts, ok := rig.ParseReady([]byte(line)); ok {
			t.Errorf("%q gave %v", line, facts)
		}
	}
}
