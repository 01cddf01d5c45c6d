// Package wheel keeps what is due later: a hierarchical timing wheel without a clock.
//
//	Add(item, due) ─▶ level 1: 4096 slots of 4096 ticks ─┐ a slot whose time has come is filed again, one level down
//	                  level 0: 4096 slots of    1 tick  ─┴▶ pending ─▶ Advance(now, limit, fire)
//
// The levels are wide because filing again comes in lumps: with narrow ones, every 64th tick has 64 ticks' worth of it. What is
// due within 4095 ticks, a quarter of an hour of quarter seconds, is never filed again.
//
// It is meant to be used lazily: what keeps an item alive does not move its timer, it writes a time down; when the
// timer fires, its owner reads that time again and adds the item once more if it is not due yet. A million
// renewals cost a million stores and no change here.
//
// It promises that
//   - nothing fires before it is due, and, if Advance is called every tick with a sufficient limit, nothing fires more
//     than one tick after that;
//   - what fires in one tick fires in the order in which it was added or moved last to a slot;
//   - Add, Move and Remove take constant time, and an item has one place at most: nothing stale is left behind;
//   - Advance looks at no more than limit items, refiled ones included, and goes on there the next time. A leap over
//     empty time costs nothing.
//
// It deliberately knows no time of day: due and now are durations since a moment that its owner chose.
package wheel
