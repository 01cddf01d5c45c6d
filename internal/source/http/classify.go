package http

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"syscall"

	"github.com/darter-p2p/darter"
)

// classify says what a failed exchange means. Texts of net/http may quote whole URLs, so they are
// taken apart rather than passed on.
func classify(err error, op, host string) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if _, ok := errors.AsType[*darter.Error](err); ok {
		return fmt.Errorf("%s: %w", op, err)
	}
	fail := func(kind darter.Kind, hint string) error {
		return &darter.Error{Kind: kind, Op: op, Err: err, Hint: hint}
	}
	if isCertificate(err) {
		return fail(darter.Denied, fmt.Sprintf("the certificate of %s is not trusted; name its CA with --cacert", host))
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fail(darter.Invalid, fmt.Sprintf("%s does not speak TLS on this port; use http://", host))
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		if e.IsNotFound {
			return fail(darter.Unavailable, fmt.Sprintf("check the name %s", host))
		}
		return fail(darter.Unavailable, "the name server did not answer; check the DNS of this machine")
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fail(darter.Unavailable, fmt.Sprintf("nothing listens at %s; check host and port", host))
	}
	if isTimeout(err) {
		return fail(darter.TimedOut, fmt.Sprintf("%s does not answer in time; check that it is up and reachable from here", host))
	}
	return fail(darter.Unavailable, fmt.Sprintf("the connection to %s failed; try again", host))
}

func isCertificate(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.UnknownAuthorityError](err)
	return ok
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout() || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// hopeless reports whether another attempt would meet the same end.
func hopeless(err error) bool {
	switch darter.KindOf(err) {
	case darter.Invalid, darter.Denied, darter.NotFound, darter.Corrupt:
		return true
	}
	e, ok := errors.AsType[*net.DNSError](err)
	return ok && e.IsNotFound
}

// ended is the error of an exchange that the caller's context ended.
func ended(ctx context.Context, op string) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, context.DeadlineExceeded) {
		return &darter.Error{Kind: darter.TimedOut, Op: op, Err: cause, Hint: "allow more time, for example with --timeout"}
	}
	return fmt.Errorf("%s: %w", op, cause)
}
