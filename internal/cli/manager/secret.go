package manager

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/darter-p2p/darter/internal/cli"
)

// secret is where a password or a token comes from: a file, stdin, or a prompt. Never the command line, where
// everybody on the machine can read it.
type secret struct {
	name  string // password, token
	file  *string
	stdin *bool
}

func secretFlags(c *cobra.Command, name string) secret {
	return secret{name: name, file: c.Flags().String(name+"-file", "", "file with the "+name+", mode 0600"),
		stdin: c.Flags().Bool(name+"-stdin", false, "read the "+name+" from stdin")}
}

// read returns the secret. twice asks a person to repeat what cannot be seen while it is typed.
func (s secret) read(ctx context.Context, a *App, prompt string, twice bool) (string, error) {
	switch {
	case *s.file != "" && *s.stdin:
		return "", cli.Usage(fmt.Errorf("--%s-file and --%s-stdin are two ways: give one", s.name, s.name))
	case *s.file != "":
		return secretFile(*s.file)
	case *s.stdin:
		return oneLine(a.In)
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", cli.Usage(fmt.Errorf("there is no terminal to ask for the %s: give --%s-file or --%s-stdin", s.name, s.name, s.name))
	}
	defer tty.Close()
	first, err := unseen(ctx, tty, prompt)
	if err != nil || !twice {
		return first, err
	}
	second, err := unseen(ctx, tty, "once more: ")
	if err == nil && first != second {
		err = cli.Usage(errors.New("the two are not the same"))
	}
	return first, err
}

// oneLine reads what is piped in.
func oneLine(in io.Reader) (string, error) {
	text, err := bufio.NewReader(io.LimitReader(in, maxToken)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read stdin: %w", err)
	}
	if text = strings.TrimRight(text, "\r\n"); text == "" {
		return "", cli.Usage(errors.New("nothing came from stdin"))
	}
	return text, nil
}

// unseen asks on a terminal without showing what is typed. An interrupt leaves the terminal as it was.
func unseen(ctx context.Context, tty *os.File, prompt string) (string, error) {
	fd := int(tty.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", fmt.Errorf("prepare the terminal: %w", err)
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	silent.Lflag |= unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &silent); err != nil {
		return "", fmt.Errorf("prepare the terminal: %w", err)
	}
	defer func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }()
	fmt.Fprint(tty, prompt)
	defer fmt.Fprintln(tty)
	if err := ready(ctx, fd); err != nil {
		return "", err
	}
	text, err := bufio.NewReader(io.LimitReader(tty, maxToken)).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("read from the terminal: %w", err)
	}
	return strings.TrimRight(text, "\r\n"), nil
}

// ready waits until a line was typed: a read would not end with an interrupt, and leave the terminal silent.
func ready(ctx context.Context, fd int) error {
	const look = 100 // milliseconds
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, look)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("read from the terminal: %w", err)
		case n > 0:
			return nil
		}
	}
}
