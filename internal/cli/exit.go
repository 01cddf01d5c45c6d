package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/source"
)

// Exit is an exit code of the program. 0 to 8 mean what they mean for wget.
type Exit int

// Exit codes.
const (
	ExitOK          Exit = 0
	ExitFailed      Exit = 1   // anything without a code of its own
	ExitUsage       Exit = 2   // command line or configuration
	ExitFile        Exit = 3   // local file: permission, exists
	ExitNetwork     Exit = 4   // name, connect, reset
	ExitTLS         Exit = 5   // certificate not trusted
	ExitDenied      Exit = 6   // authentication or authorisation
	ExitProtocol    Exit = 7   // the other side broke the protocol
	ExitRemote      Exit = 8   // the source answered an error without a code of its own here
	ExitNotFound    Exit = 9   // 404, 410, unknown task
	ExitMismatch    Exit = 10  // digest or length do not match, content changed on the way
	ExitNoSpace     Exit = 11  // disk or quota full
	ExitTimeout     Exit = 12  // a limit on time passed
	ExitSomeFailed  Exit = 13  // some of many
	ExitRateLimited Exit = 14  // 429 after retries
	ExitNoDaemon    Exit = 15  // a daemon is required and none answers
	ExitConflict    Exit = 16  // the manager: somebody changed it meanwhile, or its state does not allow it
	ExitHeld        Exit = 17  // the manager waits for a confirmation
	ExitInterrupted Exit = 130 // SIGINT
	ExitTerminated  Exit = 143 // SIGTERM
)

// names are the stable words of error messages and JSON.
func (e Exit) String() string {
	switch e {
	case ExitOK:
		return "ok"
	case ExitUsage:
		return "usage"
	case ExitFile:
		return "file"
	case ExitNetwork:
		return "network"
	case ExitTLS:
		return "tls"
	case ExitDenied:
		return "denied"
	case ExitProtocol:
		return "protocol"
	case ExitRemote:
		return "source"
	case ExitNotFound:
		return "not-found"
	case ExitMismatch:
		return "mismatch"
	case ExitNoSpace:
		return "no-space"
	case ExitTimeout:
		return "timeout"
	case ExitSomeFailed:
		return "some-failed"
	case ExitRateLimited:
		return "rate-limited"
	case ExitNoDaemon:
		return "no-daemon"
	case ExitConflict:
		return "conflict"
	case ExitHeld:
		return "needs-confirmation"
	case ExitInterrupted, ExitTerminated:
		return "interrupted"
	}
	return "failed"
}

// coded is an error that knows its exit code.
type coded struct {
	exit Exit
	err  error
}

func (c *coded) Error() string { return c.err.Error() }
func (c *coded) Unwrap() error { return c.err }

// Coded gives err an exit code of its own.
func Coded(exit Exit, err error) error { return &coded{exit, err} }

// Usage marks err as a wrong command line.
func Usage(err error) error { return &coded{ExitUsage, err} }

// Interrupted is the cause that the wiring ends the context with when a signal arrives.
type Interrupted struct{ Signal os.Signal }

func (i Interrupted) Error() string { return "stopped by " + i.Signal.String() }

// statuses maps the source's answer; anything else above 399 is ExitRemote.
var statuses = map[int]Exit{
	401: ExitDenied, 403: ExitDenied, 407: ExitDenied,
	404: ExitNotFound, 410: ExitNotFound,
	408: ExitTimeout, 504: ExitTimeout,
	429: ExitRateLimited, 507: ExitNoSpace,
}

// kinds maps what is left, once the errors that say more have been looked at.
var kinds = map[darter.Kind]Exit{
	darter.Internal: ExitFailed, darter.Invalid: ExitUsage, darter.NotFound: ExitNotFound,
	darter.Conflict: ExitFile, darter.Unavailable: ExitNetwork, darter.Corrupt: ExitMismatch,
	darter.Denied: ExitDenied, darter.NoSpace: ExitNoSpace, darter.TimedOut: ExitTimeout,
}

// exits is the table from errors to exit codes: the first row that fits wins.
var exits = []func(error) (Exit, bool){
	func(err error) (Exit, bool) {
		i, ok := errors.AsType[Interrupted](err)
		if ok && i.Signal == syscall.SIGTERM {
			return ExitTerminated, true
		}
		return ExitInterrupted, ok
	},
	func(err error) (Exit, bool) {
		c, ok := errors.AsType[*coded](err)
		if !ok {
			return 0, false
		}
		return c.exit, true
	},
	func(err error) (Exit, bool) {
		s, ok := errors.AsType[*source.Error](err)
		if !ok {
			return 0, false
		}
		if e, listed := statuses[s.Status]; listed {
			return e, true
		}
		return ExitRemote, true
	},
	func(err error) (Exit, bool) {
		_, ok := errors.AsType[*source.ChangedError](err)
		return ExitMismatch, ok
	},
	func(err error) (Exit, bool) { return ExitTLS, untrusted(err) },
	func(err error) (Exit, bool) {
		return ExitNoSpace, errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	},
	func(err error) (Exit, bool) {
		e, ok := errors.AsType[*darter.Error](err)
		if !ok {
			return 0, false
		}
		return kinds[e.Kind], true
	},
	func(err error) (Exit, bool) { return ExitTimeout, errors.Is(err, context.DeadlineExceeded) },
	func(err error) (Exit, bool) { return ExitInterrupted, errors.Is(err, context.Canceled) },
	func(err error) (Exit, bool) {
		_, ok := errors.AsType[*fs.PathError](err)
		_, link := errors.AsType[*os.LinkError](err)
		return ExitFile, ok || link
	},
	func(err error) (Exit, bool) { return ExitUsage, strings.HasPrefix(err.Error(), "unknown command") },
}

// ExitOf returns the exit code of an error.
func ExitOf(err error) Exit {
	if err == nil {
		return ExitOK
	}
	for _, row := range exits {
		if e, ok := row(err); ok {
			return e
		}
	}
	return ExitFailed
}

// untrusted reports whether a certificate was refused. Across the socket only the text is left of the
// error, so a denial that speaks of certificates counts too.
func untrusted(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	text := err.Error()
	return darter.KindOf(err) == darter.Denied && (strings.Contains(text, "certificate") || strings.Contains(text, "x509:") || strings.Contains(text, "tls:"))
}
