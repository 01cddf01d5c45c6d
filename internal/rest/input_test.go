package rest

import (
	"reflect"
	"testing"
)

type unseen struct {
	ID string `path:"id"`
}

// TestInputsThatHumaWouldNotSeeAreRefused holds that no path or query parameter is silently left out.
func TestInputsThatHumaWouldNotSeeAreRefused(t *testing.T) {
	if err := checkInput(reflect.TypeFor[struct{ Page }]()); err != nil {
		t.Error(err)
	}
	if err := checkInput(reflect.TypeFor[*struct{ unseen }]()); err == nil {
		t.Error("an input that hides its parameters was taken")
	}
}
