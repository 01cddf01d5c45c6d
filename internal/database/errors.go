package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/darter-p2p/darter"
)

// What can be wrong with a database, for errors.Is. Each comes inside a darter.Error with a hint.
var (
	ErrLocked   = errors.New("the database is busy")                   // Unavailable: a lock was not given in time
	ErrGone     = errors.New("the database cannot be reached")         // Unavailable
	ErrReadOnly = errors.New("the database takes no writes")           // Unavailable
	ErrFull     = errors.New("the database has no space left")         // NoSpace
	ErrNewer    = errors.New("the database is of a newer Darter")      // Conflict
	ErrClash    = errors.New("it is there already, or in use")         // Conflict: of names or references
	ErrInUse    = errors.New("the database file is in use")            // Conflict
	ErrHeld     = errors.New("another holder has the lease")           // Conflict
	ErrFenced   = errors.New("the lease has passed to another holder") // Conflict
)

// fault is how one class of errors looks from outside.
type fault struct {
	kind  darter.Kind
	cause error
	hint  string
}

var (
	locked   = fault{darter.Unavailable, ErrLocked, "try again; if it stays so, look for a long transaction or another program that has the database open"}
	gone     = fault{darter.Unavailable, ErrGone, "check that the database server runs and can be reached; work goes on when it is back"}
	readOnly = fault{darter.Unavailable, ErrReadOnly, "check the file's and folder's rights, or that the server is the primary"}
	full     = fault{darter.NoSpace, ErrFull, "free space where the database lies; nothing was half written"}
	timedOut = fault{darter.TimedOut, nil, "the statement took too long and was undone; try again, or with less at once"}
	corrupt  = fault{darter.Corrupt, nil, "stop the manager, keep a copy of the database, and restore a backup"}
	clash    = fault{darter.Conflict, ErrClash, "choose another name, or take back what refers to it first"}
	wrong    = fault{darter.Invalid, nil, "the value does not fit its column"}
	denied   = fault{darter.Denied, nil, "check the database user's name, password and rights"}
	unknown  = fault{darter.Internal, nil, ""}
)

// mapped returns err as a darter.Error; one that is already one stays as it is.
func mapped(op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*darter.Error](err); ok {
		return err
	}
	f := classify(err)
	if f.cause != nil {
		err = errors.Join(f.cause, err)
	}
	return &darter.Error{Kind: f.kind, Op: op, Hint: f.hint, Err: err}
}

func classify(err error) fault {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return classifyServer(e.Code)
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return classifyFile(e.Code())
	}
	var network net.Error
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fault{darter.NotFound, nil, ""}
	case errors.Is(err, context.DeadlineExceeded):
		return timedOut
	case errors.Is(err, context.Canceled):
		return fault{darter.Unavailable, nil, ""}
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.As(err, &network),
		errors.Is(err, sql.ErrConnDone), connecting, strings.HasSuffix(err.Error(), "conn closed"), strings.HasSuffix(err.Error(), "database is closed"):
		return gone
	}
	return unknown
}

func classifyServer(code string) fault {
	switch code {
	case "40001", "40P01", "55P03":
		return locked
	case "53100":
		return full
	case "25006":
		return readOnly
	case "57014":
		return timedOut
	case "3D000":
		return fault{darter.NotFound, nil, "create the database, or correct its name in the URL"}
	}
	switch code[:min(2, len(code))] {
	case "08", "57", "53":
		return gone
	case "28":
		return denied
	case "23":
		return clash
	case "22":
		return wrong
	case "XX":
		return corrupt
	}
	if code == "42501" {
		return denied
	}
	return unknown
}

func classifyFile(code int) fault {
	switch code & 0xff {
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED:
		return locked
	case codes.SQLITE_FULL:
		return full
	case codes.SQLITE_READONLY, codes.SQLITE_PERM:
		return readOnly
	case codes.SQLITE_CANTOPEN, codes.SQLITE_IOERR:
		return gone
	case codes.SQLITE_CORRUPT, codes.SQLITE_NOTADB:
		return corrupt
	case codes.SQLITE_CONSTRAINT:
		return clash
	case codes.SQLITE_MISMATCH, codes.SQLITE_TOOBIG:
		return wrong
	case codes.SQLITE_INTERRUPT:
		return timedOut
	}
	return unknown
}

// transient reports whether the same transaction, tried again, may pass: the database has undone it
// because of another one.
func transient(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "40001" || e.Code == "40P01"
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()&0xff == codes.SQLITE_BUSY || e.Code()&0xff == codes.SQLITE_LOCKED
	}
	return false
}
