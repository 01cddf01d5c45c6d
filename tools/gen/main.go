package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// module is the import path that generated packages lie below.
const module = "github.com/darter-p2p/darter"

func main() {
	root := flag.String("root", "../..", "folder of the module")
	check := flag.Bool("check", false, "write nothing; fail when the generated files are not those that are there")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *root, *check); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, root string, check bool) error {
	made, err := generate(ctx, filepath.Join(root, "api", "proto"))
	if err != nil {
		return err
	}
	there, err := read(filepath.Join(root, "api", "gen"))
	if err != nil {
		return err
	}
	if check {
		return compare(made, there)
	}
	for name := range there {
		if made[name] == nil {
			if err := os.Remove(filepath.Join(root, "api", "gen", name)); err != nil {
				return err
			}
		}
	}
	for name, text := range made {
		path := filepath.Join(root, "api", "gen", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// compare names every file that is missing, changed or left over.
func compare(made, there map[string][]byte) error {
	var wrong []string
	for name, text := range made {
		if !bytes.Equal(text, there[name]) {
			wrong = append(wrong, name)
		}
	}
	for name := range there {
		if made[name] == nil {
			wrong = append(wrong, name)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	return fmt.Errorf("api/gen is not what api/proto says (%s): run make gen and commit the result", strings.Join(wrong, ", "))
}

// generate compiles the protos below a folder and returns what the generators make of them, by path below api/gen.
func generate(ctx context.Context, protos string) (map[string][]byte, error) {
	texts, err := read(protos)
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(texts)), func(name string) bool { return !strings.HasSuffix(name, ".proto") })
	if len(names) == 0 {
		return nil, fmt.Errorf("no proto files lie in %s", protos)
	}
	compiler := protocompile.Compiler{SourceInfoMode: protocompile.SourceInfoStandard,
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{protos}})}
	files, err := compiler.Compile(ctx, names...)
	if err != nil {
		return nil, err
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: names, Parameter: proto.String("module=" + module + "/api/gen"), ProtoFile: ordered(files)}
	out := make(map[string][]byte)
	for _, plugin := range []string{"protoc-gen-go", "protoc-gen-go-grpc"} {
		if err := ask(ctx, plugin, request, out); err != nil {
			return nil, fmt.Errorf("%s: %w", plugin, err)
		}
	}
	return out, nil
}

// ordered returns the descriptors of files and of what they import, imports first.
func ordered(files linker.Files) []*descriptorpb.FileDescriptorProto {
	var out []*descriptorpb.FileDescriptorProto
	seen := make(map[string]bool)
	var visit func(protoreflect.FileDescriptor)
	visit = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			visit(f.Imports().Get(i).FileDescriptor)
		}
		out = append(out, protoutil.ProtoFromFileDescriptor(f))
	}
	for _, f := range files {
		visit(f)
	}
	return out
}

// ask runs one generator, pinned in this module, and takes its files.
func ask(ctx context.Context, plugin string, request *pluginpb.CodeGeneratorRequest, out map[string][]byte) error {
	in, err := proto.MarshalOptions{Deterministic: true}.Marshal(request)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "tool", plugin)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	raw, err := cmd.Output()
	if err != nil {
		return err
	}
	var answer pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(raw, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return errors.New(answer.GetError())
	}
	for _, f := range answer.GetFile() {
		out[f.GetName()] = []byte(f.GetContent())
	}
	return nil
}

// read returns every file below a folder, by path from it; nothing when there is no such folder.
func read(dir string) (map[string][]byte, error) {
	out := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if errors.Is(err, fs.ErrNotExist) && path == dir {
				return nil
			}
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		out[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	return out, err
}
