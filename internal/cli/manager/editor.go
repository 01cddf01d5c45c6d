package manager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/cli"
)

// edit lets a person change a text and returns the file that it lies in, which is the caller's to remove, and its text.
func (a *App) edit(ctx context.Context, text []byte) (file string, after []byte, err error) {
	f, err := os.CreateTemp("", "darter-*.yaml")
	if err != nil {
		return "", nil, cli.Coded(cli.ExitFile, fmt.Errorf("make a file to edit: %w", err))
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", nil, cli.Coded(cli.ExitFile, fmt.Errorf("write %s: %w", f.Name(), err))
	}
	editor := "vi"
	for _, variable := range []string{"EDITOR", "VISUAL"} {
		if v := a.getenv(variable); v != "" {
			editor = v
		}
	}
	with := a.EditWith
	if with == nil {
		with = a.runEditor
	}
	if err := with(ctx, editor, f.Name()); err != nil {
		os.Remove(f.Name())
		return "", nil, &darter.Error{Kind: darter.Invalid, Op: "edit with " + editor, Err: err, Hint: "set VISUAL or EDITOR to an editor that waits until you are done"}
	}
	after, err = os.ReadFile(f.Name())
	if err != nil {
		return "", nil, cli.Coded(cli.ExitFile, fmt.Errorf("read %s: %w", f.Name(), err))
	}
	return f.Name(), after, nil
}

// runEditor runs an editor on this terminal. EDITOR may hold arguments.
func (a *App) runEditor(ctx context.Context, editor, file string) error {
	words := append(strings.Fields(editor), file)
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	return c.Run()
}
