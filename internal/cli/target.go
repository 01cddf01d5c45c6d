package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// stdout is the target name that means the standard output.
const stdout = "-"

// partSuffix ends the names of files that are not verified yet.
const partSuffix = ".darter-part"

// nameFromURL returns a file name for what a URL names: its last path element, without anything
// that could leave the folder, hide the file or steer a terminal.
func nameFromURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "index.html"
	}
	name := sanitise(u.Path[strings.LastIndexByte(u.Path, '/')+1:])
	if name == "" {
		return "index.html"
	}
	return name
}

func sanitise(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r == '/' || r == '\\' || r == 0:
			return '_'
		case unicode.IsControl(r) || r == unicode.ReplacementChar || unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, name)
	name = strings.TrimLeft(strings.TrimSpace(name), ".")
	for len(name) > 200 { // leaves room for the part file's name within 255 bytes
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name
}

// resolve returns the absolute file that -o, -d and the URL name.
func resolve(output, dir, rawURL string) (string, error) {
	if output == stdout {
		return stdout, nil
	}
	name := output
	if name == "" {
		name = nameFromURL(rawURL)
	}
	if dir != "" && !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	if output != "" {
		if info, err := os.Stat(name); err == nil && info.IsDir() || strings.HasSuffix(output, "/") {
			name = filepath.Join(name, nameFromURL(rawURL))
		}
	}
	return filepath.Abs(name)
}

// checkFolder makes sure that a file can be made beside the target.
func checkFolder(target string, create bool) error {
	dir := filepath.Dir(target)
	if create {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return fileError("make folder "+dir, err, "choose another folder with -d")
		}
	}
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = syscall.ENOTDIR
	}
	if err == nil {
		err = unix.Access(dir, unix.W_OK|unix.X_OK)
	}
	if err != nil {
		return fileError("write "+target, fmt.Errorf("folder %s: %w", dir, err), "choose a folder that exists and may be written, with -o or -d")
	}
	return nil
}

// fileError is a failure of this machine's files: exit code 3, or 11 when there is no space.
func fileError(op string, err error, hint string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &darter.Error{Kind: darter.NoSpace, Op: op, Err: err, Hint: "free some space, then run the same command again"}
	}
	return &coded{ExitFile, &darter.Error{Kind: darter.Conflict, Op: op, Err: err, Hint: hint}}
}

// partFile returns the hidden name beside target under which this process writes. The process id keeps two runs
// apart; parts that a killed run left behind are removed on the way.
func partFile(target string) string {
	dir, name := filepath.Split(target)
	if len(name) > 200 {
		name = name[:200]
	}
	old, err := filepath.Glob(filepath.Join(globQuote(dir), "."+globQuote(name)+".*"+partSuffix))
	for _, file := range old {
		pid, perr := strconv.Atoi(strings.TrimPrefix(filepath.Ext(strings.TrimSuffix(file, partSuffix)), "."))
		if err == nil && perr == nil && pid != os.Getpid() && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			os.Remove(file)
		}
	}
	return filepath.Join(dir, fmt.Sprintf(".%s.%d%s", name, os.Getpid(), partSuffix))
}

// newFileMode returns the permissions that a file made at path gets here, and leaves nothing there.
func newFileMode(path string) (os.FileMode, error) {
	os.Remove(path)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return 0, fileError("write "+path, err, "choose another folder with -d")
	}
	info, err := f.Stat()
	err = errors.Join(err, f.Close(), os.Remove(path))
	if err != nil {
		return 0, fileError("write "+path, err, "choose another folder with -d")
	}
	return info.Mode().Perm(), nil
}

func globQuote(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// publish gives a verified part its final name. Without overwrite an existing file wins.
func publish(part, target string, overwrite bool) error {
	var err error
	if overwrite {
		err = os.Rename(part, target)
	} else {
		err = unix.Renameat2(unix.AT_FDCWD, part, unix.AT_FDCWD, target, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // this file system cannot say "unless it exists"
			err = os.Link(part, target)
		}
	}
	os.Remove(part) // gone already, unless part and target are one file, which rename leaves alone
	if err != nil {
		return exists(target, err)
	}
	return nil
}

func exists(target string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		err = errors.New("a file of that name exists and is another one")
	}
	return fileError("write "+target, err, "give --overwrite to replace it, or another name with -o")
}

// fileMatches reports whether the content of a file has the digest.
func fileMatches(name string, d darter.Digest) (bool, error) {
	h, err := store.NewHash(d.Algorithm())
	if err != nil {
		return false, err
	}
	f, err := os.Open(name)
	if err != nil {
		return false, fileError("read "+name, err, "make the file readable, or give another name with -o")
	}
	defer f.Close()
	if _, err := io.Copy(h, f); err != nil {
		return false, fileError("read "+name, err, "give another name with -o")
	}
	return store.Digest(d.Algorithm(), h) == d, nil
}

func mismatch(what string, want, got darter.Digest) error {
	return &darter.Error{Kind: darter.Corrupt, Op: "verify " + what, Err: fmt.Errorf("the digest is %s, expected %s", got, want),
		Hint: "check --digest, or whether the content changed at its source; nothing was written under the final name"}
}
