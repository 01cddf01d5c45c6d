package liveness

import "fmt"

// CheckAll is check for tests outside of the package.
func CheckAll(r *Roster) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%v", fault)
		}
	}()
	check(panicker{}, r)
	return nil
}

type panicker struct{}

func (panicker) Helper()                           {}
func (panicker) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
