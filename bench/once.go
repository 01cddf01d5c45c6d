package main

import "context"

// runOnce is B7: 16 hosts ask for the same cold file at the same moment, and the origin is the
// narrow place.
func runOnce(ctx context.Context, s *suite) error {
	size := 64 * mib
	if s.quick {
		size = 24 * mib
	}
	for _, c := range []crowd{
		{id: "B7", variant: "seed", size: size, originUp: 50},
		{id: "B7", variant: "seed killed", size: size, originUp: 50, killSeed: true},
		{id: "B7", variant: "no seed", size: size, originUp: 50, noSeed: true},
	} {
		if s.variant != "" && s.variant != c.variant {
			continue
		}
		for run := range s.runs {
			if err := s.crowd(ctx, c, run+1); err != nil {
				return err
			}
		}
	}
	return nil
}
