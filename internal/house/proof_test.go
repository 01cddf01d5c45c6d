package house

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// proof is a small tree and the faults, by What, that one rule must find in it; none means that the tree is fine.
type proof struct {
	rule    string
	name    string
	sources map[string]string
	want    []string
}

// room returns a tree of one file.
func room(path, text string) map[string]string { return map[string]string{path: text} }

// doc is a package comment that nothing is wrong with.
const doc = "// Package x is for y.\n//\n//\ta ─▶ b\n//\n// It promises z. It deliberately does not w.\n"

var proofs = []proof{
	{"imports", "a part imports another part", room("internal/daemon/serve/serve.go", `package serve
import _ "`+Module+`/internal/daemon/fetch"`), []string{"internal/daemon/serve imports internal/daemon/fetch"}},
	{"imports", "a part imports below itself", room("internal/daemon/fetch/a.go", `package fetch
import (
	_ "`+Module+`"
	_ "`+Module+`/internal/daemon/fetch/pick"
	_ "`+Module+`/internal/store"
	_ "`+Module+`/internal/retry"
	_ "google.golang.org/grpc"
)`), nil},
	{"imports", "a role imports another role, and its part", room("internal/daemon/daemon.go", `package daemon
import (
	_ "`+Module+`/internal/daemon/fetch"
	_ "`+Module+`/internal/gc/collector"
	_ "`+Module+`/internal/scheduler"
	_ "`+Module+`/internal/scheduler/rpc"
)`), []string{"internal/daemon imports internal/scheduler", "internal/daemon imports internal/scheduler/rpc"}},
	{"imports", "a shelf imports a mechanism", room("internal/retry/a.go", `package retry
import _ "`+Module+`/internal/store/disk"`), []string{"internal/retry imports internal/store/disk"}},
	{"imports", "a mechanism imports its own family, and another", room("internal/store/disk/a.go", `package disk
import (
	_ "`+Module+`/internal/store"
	_ "`+Module+`/internal/vortex"
)`), []string{"internal/store/disk imports internal/vortex"}},
	{"imports", "the nouns import something of ours", room("task.go", `package darter
import _ "`+Module+`/internal/invariant"`), []string{"darter imports internal/invariant"}},
	{"imports", "a core imports the invariants, a core and a shelf", room("internal/scheduler/swarm/a.go", `package swarm
import (
	_ "`+Module+`/internal/invariant"
	_ "`+Module+`/internal/scheduler/rank"
	_ "`+Module+`/internal/retry"
)`), []string{"internal/scheduler/swarm imports internal/retry"}},
	{"imports", "code imports the rig, a test may", map[string]string{
		"internal/daemon/daemon.go":      "package daemon\nimport _ \"" + Module + "/internal/store/storetest\"",
		"internal/daemon/daemon_test.go": "package daemon\nimport _ \"" + Module + "/internal/store/storetest\"",
	}, []string{"internal/daemon imports internal/store/storetest"}},
	{"imports", "wiring imports everything but the rig", room("cmd/darter/main.go", `package main
import (
	_ "`+Module+`/internal/daemon"
	_ "`+Module+`/internal/scheduler"
	_ "`+Module+`/internal/cli"
	_ "`+Module+`/internal/config"
	_ "`+Module+`/internal/sim"
)`), []string{"cmd/darter imports internal/sim"}},
	{"imports", "a room that nobody placed", room("internal/novelty/a.go", "package novelty"), []string{"internal/novelty is not in the import table"}},

	{"api types", "messages outside the border", map[string]string{
		"internal/daemon/serve/a.go": "package serve\nimport _ \"d7y.io/api/v2/pkg/apis/common/v2\"",
		"internal/daemon/rpc/a.go":   "package rpc\nimport _ \"d7y.io/api/v2/pkg/apis/common/v2\"",
		"api/wire/a.go":              "package wire\nimport _ \"" + Module + "/api/gen/darter/v1\"",
	}, []string{"internal/daemon/serve imports d7y.io/api/v2/pkg/apis/common/v2"}},
	{"api types", "status codes outside the border", map[string]string{
		"internal/store/a.go":        "package store\nimport _ \"google.golang.org/grpc/codes\"",
		"internal/manager/rest/a.go": "package rest\nimport _ \"google.golang.org/grpc/codes\"",
	}, []string{"internal/store imports google.golang.org/grpc/codes"}},

	{"default logger", "the process's logger", map[string]string{
		"internal/daemon/a.go":      "package daemon\nimport (\n\"log\"\n\"log/slog\"\n)\nfunc a(l *slog.Logger) { log.Print(1); slog.Info(\"\"); l.Info(\"\"); log.New(nil, \"\", 0) }",
		"internal/daemon/a_test.go": "package daemon\nimport \"log\"\nfunc b() { log.Print(1) }",
	}, []string{"internal/daemon/a.go uses log.Print", "internal/daemon/a.go uses log/slog.Info"}},

	{"forbidden imports", "a mock, and a room that logs", map[string]string{
		"internal/store/a_test.go": "package store\nimport _ \"go.uber.org/mock/gomock\"",
		"internal/daemon/a.go":     "package daemon\nimport _ \"log/slog\"",
		"internal/vortex/a.go":     "package vortex\nimport _ \"log/slog\"",
	}, []string{"internal/store imports go.uber.org/mock/gomock", "internal/vortex imports log/slog"}},

	{"pure cores", "a core that knows the world", room("internal/liveness/a.go", `package liveness
import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	clock "time"
	"golang.org/x/time/rate"
)
func a() { go b(); _ = clock.Now(); _ = rand.IntN(5); _ = rand.New(rand.NewPCG(1, 2)); _ = 5*clock.Second }`),
		[]string{"internal/liveness imports context", "internal/liveness imports net", "internal/liveness imports os",
			"internal/liveness imports sync/atomic", "internal/liveness imports golang.org/x/time/rate",
			"internal/liveness starts a goroutine", "internal/liveness uses time.Now", "internal/liveness uses math/rand/v2.IntN"}},
	{"pure cores", "the nouns and a core that are told", map[string]string{
		"host.go":            "package darter\nimport (\n\"net/netip\"\n\"time\"\n)\nvar _ netip.Addr\nvar _ time.Time",
		"internal/gc/a.go":   "package gc\nimport _ \"" + Module + "\"",
		"internal/vortex.go": "package internal\nimport _ \"os\"",
	}, nil},

	{"package comment", "none", room("internal/retry/a.go", "package retry"), []string{"internal/retry has no package comment"}},
	{"package comment", "elsewhere", room("internal/retry/a.go", doc+"package retry"), []string{"internal/retry has its package comment in a.go"}},
	{"package comment", "twice", map[string]string{"internal/retry/a.go": doc + "package retry", "internal/retry/doc.go": doc + "package retry"},
		[]string{"internal/retry has two package comments"}},
	{"package comment", "without a drawing", room("internal/retry/doc.go", "// Package retry promises; it deliberately does not.\npackage retry"),
		[]string{"internal/retry draws nothing in its package comment"}},
	{"package comment", "without a promise", room("internal/retry/doc.go", "// Package retry\n//\n//\ta ─▶ b\n//\n// deliberately.\npackage retry"),
		[]string{"internal/retry promises nothing in its package comment"}},
	{"package comment", "without a limit", room("internal/retry/doc.go", "// Package retry\n//\n//\ta ─▶ b\n//\n// promises.\npackage retry"),
		[]string{"internal/retry sets itself no limit in its package comment"}},
	{"package comment", "a licence", room("internal/retry/doc.go", doc+"// Licensed under the Apache License.\npackage retry"),
		[]string{"internal/retry has a licence in its comment"}},
	{"package comment", "as it should be, and a program's", map[string]string{"internal/retry/doc.go": doc + "package retry",
		"cmd/darter/main.go": "// Command darter moves files.\npackage main"}, nil},

	{"names", "a banned package, file and ending", map[string]string{
		"internal/store/util/a.go":       "package util",
		"internal/store/stringutil/a.go": "package stringutil",
		"internal/store/service.go":      "package store\ntype HostInfo struct{}\ntype Info struct{}",
		"internal/daemon/rpc/a_test.go":  "package rpc_test",
		"internal/daemon/rpc/manager.go": "package rpc",
		"internal/daemon/manager.go":     "package daemon",
	}, []string{"package util in internal/store/util has a banned name", "package stringutil in internal/store/stringutil has a banned name",
		"internal/store/service.go is named after a layer", "internal/daemon/manager.go is named after a layer", "internal/store.HostInfo ends in Info"}},
	{"names", "two names for one room", room("internal/store/a.go", "package shelf"), []string{"package shelf lies in folder internal/store"}},

	{"documented", "promises without words", room("internal/store/a.go", `package store
type A struct{}
// B is.
type B struct{}
func (B) String() string { return "" }
func C() {}
const D = 1
// Kinds.
const ( E = 1; F = 2 )
type g struct{}
var H = 1 // H is.
`), []string{"internal/store.A has no comment", "internal/store.C has no comment", "internal/store.D has no comment"}},

	{"goroutines", "outside run.go", map[string]string{
		"internal/store/a.go":      "package store\nfunc a() { go a() }",
		"internal/store/run.go":    "package store\nfunc b() { go b() }",
		"internal/store/a_test.go": "package store\nfunc c() { go c() }",
	}, []string{"internal/store/a.go starts a goroutine"}},

	{"background", "in the middle", map[string]string{
		"internal/store/a.go":      "package store\nimport c \"context\"\nvar x = c.Background\nfunc f() { c.TODO() }",
		"internal/store/a_test.go": "package store\nimport \"context\"\nvar y = context.Background()",
		"cmd/darter/main.go":       "package main\nimport \"context\"\nvar z = context.Background()",
	}, []string{"internal/store/a.go uses context.Background", "internal/store/a.go uses context.TODO"}},

	{"init", "registration by import", room("internal/source/http/a.go", "package http\nfunc init() {}\ntype t struct{}\nfunc (t) init() {}"),
		[]string{"internal/source/http/a.go has an init function"}},

	{"sleep", "in code, in a test outside a bubble", map[string]string{
		"internal/store/a.go":      "package store\nimport \"time\"\nfunc a() { time.Sleep(1) }",
		"internal/store/a_test.go": "package store\nimport \"time\"\nfunc helper() { time.Sleep(1) }",
		"internal/vortex/a_test.go": `package vortex
import ("testing"; "testing/synctest"; "time")
func TestOut(t *testing.T) { time.Sleep(1) }
func TestIn(t *testing.T) { synctest.Test(t, func(t *testing.T) { time.Sleep(1) }) }`,
		"internal/vortex/b_test.go": "package vortex\nimport \"time\"\nfunc helper() { time.Sleep(1) }",
	}, []string{"internal/store/a.go sleeps", "internal/store/a_test.go sleeps", "internal/vortex/a_test.go sleeps"}},

	{"panic", "as error handling", map[string]string{
		"internal/store/a.go":             "package store\nfunc a() { panic(1) }\nfunc mustB() { panic(2) }",
		"internal/invariant/invariant.go": "package invariant\nfunc a() { panic(1) }",
		"internal/store/a_test.go":        "package store\nfunc c() { panic(3) }",
	}, []string{"internal/store/a.go panics"}},

	{"variables", "what anybody can change", room("internal/store/a.go", `package store
import ("errors"; "regexp"; "sync")
var errA = errors.New("a")
var table = map[string]int{"a": 1}
var pattern = regexp.MustCompile("a")
var _ error = (*myError)(nil)
var count int
var cache = make(map[string]int)
var pool = &sync.Pool{}
var buffers = sync.Pool{}
var lock = sync.Mutex{}
var sentinel = &myError{}
//go:embed a.txt
var text string
`), []string{"internal/store.count", "internal/store.cache", "internal/store.pool", "internal/store.lock"}},
	{"variables", "tables that are written to", map[string]string{"internal/store/a.go": `package store
var table = map[string]int{"a": 1}
var list = []int{1}
var limit = 5
var other = map[string]int{}
var fine = []int{1}
`, "internal/store/b.go": `package store
import "` + Module + `/internal/vortex"
func a() {
	table["b"] = 2
	list = append(list, vortex.Two)
	limit++
	delete(other, "x")
	fine := fine
	fine[0] = 2
	for _, table := range fine { table = 3 }
}`}, []string{"internal/store.table is written to", "internal/store.list is written to", "internal/store.limit is written to",
		"internal/store.other is written to"}},

	{"sizes", "a long file and a long function", map[string]string{
		"internal/store/long.go": "package store\n" + strings.Repeat("\n", maxFileLines),
		"internal/store/fn.go":   "package store\ntype a[T any] struct{}\nfunc (*a[T]) b() {" + strings.Repeat("\n", maxFunctionLines) + "}",
		"internal/store/ok.go":   "package store\nfunc ok() {" + strings.Repeat("\n", maxFunctionLines-1) + "}",
	}, []string{"internal/store.a.b", "internal/store/long.go"}},
	{"sizes", "an endless test, and what a test and the rig may be", map[string]string{
		"internal/store/a_test.go":          "package store\n" + strings.Repeat("\n", maxTestLines),
		"internal/store/b_test.go":          "package store\nfunc b() {" + strings.Repeat("\n", maxFileLines+1) + "}",
		"internal/store/storetest/suite.go": "package storetest\nfunc b() {" + strings.Repeat("\n", maxFileLines+1) + "}",
	}, []string{"internal/store/a_test.go"}},
	{"sizes", "too many exported names", room("internal/store/a.go", "package store\nconst (\nX = 1\nY = 2\n)\n"+strings.Repeat("type A struct{}\n", maxExports)),
		[]string{"internal/store exports"}},
	{"sizes", "a swelling root, a long CONTRIBUTING", map[string]string{"a.go": "package darter\n" + strings.Repeat("\n", 450),
		"b.go": "package darter\n" + strings.Repeat("\n", 450), "CONTRIBUTING.md": strings.Repeat("\n", 151)},
		[]string{"darter lines", "CONTRIBUTING.md lines"}},

	{"lives", "steps that exist, and some that do not", map[string]string{
		"internal/daemon/fetch/a.go": "package fetch\ntype Engine struct{}\nfunc (e *Engine) Open() {}\nfunc finish() {}\ntype Scheduler interface { Register() }",
		"docs/lives/download.md": "# A download\n- `fetch.Engine.Open` - one fetch runs\n- `daemon/fetch.finish` - complete\n" +
			"1. `fetch.Scheduler.Register` - the scheduler knows\n- `fetch.Gone` - nothing\n- `fetch.finish` and so on\n",
		"docs/lives/empty.md": "# Nothing\n",
	}, []string{"fetch.Gone does not exist", "fetch.finish is not followed by \" - what is true afterwards\"", "docs/lives/empty.md has no steps"}},

	{"links", "to nowhere", map[string]string{
		"README.md": "[a](docs/a.md) [b](docs/b.md#top) [c](https://example.com/x) [d](#here) [e](docs)",
		"docs/a.md": "[up](../README.md)\n[sideways](b.md)",
	}, []string{"docs/a.md links to b.md", "README.md links to docs/b.md#top"}},

	{"private words", "from the workshop", map[string]string{
		"a.go":      "package darter\n// See /wo" + "rk/main and iss" + "ue 2, or (#" + "17).\n",
		"b.md":      "test/e2e/wo" + "rk/x is fine, and colour #a1b2c3, and golang/go#" + "123\n# 1. Title\n",
		"Makefile":  "GOPROXY=https://proxy.gol" + "ang.org\n",
		"data.json": "{\"x\": \"/wo" + "rk/main\"}",
	}, []string{"a.go says (#" + "17", "a.go says iss" + "ue 2", "a.go says /wo" + "rk/", "Makefile says proxy.gol" + "ang.org"}},
}

func TestEachRuleFindsWhatItIsFor(t *testing.T) {
	proven := make(map[string]bool)
	for _, p := range proofs {
		t.Run(p.rule+"/"+p.name, func(t *testing.T) {
			tree, err := Parse(p.sources)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range check(tree, nil) {
				if f.Rule != p.rule {
					continue
				}
				got = append(got, f.What)
				if f.Where == "" || f.Why == "" || f.Remedy == "" {
					t.Errorf("the fault does not say where, why and how to mend it: %v", f)
				}
			}
			want := slices.Clone(p.want)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("found\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
			}
		})
		proven[p.rule] = proven[p.rule] || len(p.want) > 0
	}
	for _, r := range Rules() {
		if !proven[r.Name] {
			t.Errorf("nothing proves rule %q", r.Name)
		}
		delete(proven, r.Name)
	}
	if len(proven) > 0 {
		t.Errorf("proofs of rules that are not there: %v", slices.Sorted(maps.Keys(proven)))
	}
}

func TestAnExceptionExcusesOneFault(t *testing.T) {
	tree, err := Parse(room("internal/store/a.go", "package store\nfunc init() {}"))
	if err != nil {
		t.Fatal(err)
	}
	rest := check(tree, map[string]string{"init: internal/store/a.go has an init function": "for this test"})
	for _, f := range rest {
		if f.Rule == "init" || f.Rule == "exceptions" {
			t.Errorf("still a fault: %v", f)
		}
	}
	rest = check(tree, map[string]string{"init: somewhere else": "nobody needs it"})
	if !slices.ContainsFunc(rest, func(f Fault) bool { return f.Rule == "exceptions" && f.What == "init: somewhere else" }) {
		t.Error("an exception that nothing needs stayed unnoticed")
	}
}

func TestOtherModulesAndGeneratedCodeAreLeftAlone(t *testing.T) {
	tree, err := Parse(map[string]string{
		"tools/lint/go.mod":  "module x",
		"tools/lint/main.go": "package anything\nfunc init() {}",
		"api/gen/a.pb.go":    "// Code generated by x. DO NOT EDIT.\n\npackage gen\n\nfunc init() {}",
		"x/testdata/bad.go":  "this is no Go",
	})
	if err != nil || len(tree.Files) != 0 {
		t.Errorf("looked into %d files, %v; want none", len(tree.Files), err)
	}
}
