package sim

import (
	"fmt"
	"os"
	"testing"
)

func TestGrid(t *testing.T) {
	if os.Getenv("GRID") == "" {
		t.Skip()
	}
	for _, slots := range []int{1, 2, 3} {
		for _, racers := range []int{3, 6, 12} {
			for _, links := range []int{12, 24} {
				for _, pp := range []int{2, 4} {
					fmt.Printf("slots %d racers %2d maxlinks %d perparent %d:", slots, racers, links, pp)
					for _, i := range []int{0, 1, 2, 3} {
						s := shapes()[i]
						f := measure(t, s, 3, func(c *Config) {
							c.Slots, c.Pick.Racers, c.Swarm.MaxLinks, c.Pick.PerParent = slots, racers, links, pp
						})
						fmt.Printf("  %s %.3f/%.3f w%.3f a%.1f", s.name, f.Last, f.Worst, f.Wasted, f.Asks)
					}
					fmt.Println()
				}
			}
		}
	}
}
