package gatetest

import (
	"errors"

	"github.com/darter-p2p/darter/internal/manager/auth"
)

func classify(err error) outcome {
	switch {
	case errors.Is(err, auth.ErrUnauthenticated):
		return unauthenticated
	case errors.Is(err, auth.ErrForbidden):
		return forbidden
	}
	return other
}
