// Package sim runs whole swarms in virtual time: the real swarm core, the real piece selection, and a model of
// everything between them.
//
//	Config ─▶ World ─▶ hosts (download shell + pick.Picker, piece server)
//	           │          ▲ offers, assignments      │ reports        bodies over shared links
//	           │          └── scheduler (swarm.Swarm) ◀┘              network, max-min fair
//	           └─▶ faults by seed ─▶ checks after every step ─▶ Result
//
// The download shell says in a hundred lines what package fetch does with goroutines and streams; the piece server
// follows the discipline of package vortex. Links are fluid: what a host sends and receives is shared among its bodies
// by max-min fairness, with weights that differ from body to body because real connections are not equal. A relay never
// overtakes what it relays, and gives its slot back when that holds it up. Not modelled: further copies that are broken
// off for pieces nobody else has.
//
// It promises that the same Config gives the same Result, and that what the cores promise is checked after every step:
// no piece has two live source-goers, nobody is offered itself, its own host, somebody who left or whom it
// blocked, no byte is taken unchecked, and every live host finishes. In worlds where nobody crashes and nothing is lost
// the origin sends each byte exactly once.
//
// What the settings are worth, measured here (last byte over the bound of Kumar and Ross; TestFigures and TestTuning print
// it; 4 MiB pieces; the seed fetches from an origin as fast as its own uplink):
//
//	                                   B1, 16 hosts   B2, 32 hosts   B5, slow ones   100 MB/s links
//	                                   32 pieces      16 pieces      32 pieces       256 pieces
//	queue at one parent per piece, 4 slots  2.14           3.46           1.54            1.46
//	races                                   1.61           2.67           1.20            1.15
//	races, 2 slots                          1.45           2.15           1.21            1.13
//	races, 2 slots, 12 to 20 links          1.34           1.83           1.19            1.06
//	relays, two requests to the source      1.16           1.46           1.11            1.00
//	1 slot instead of 2, without relays     1.45           1.76           1.61            1.23
//	least for whole pieces, 1 slot          1.16           1.38
//
// Races matter most. Slots: more of them share an uplink among pieces of which none can be passed on before all are
// through; a single one rests whenever its receiver is the slower side. Links: who registers late finds everybody's places
// taken when MaxLinks is near Links. PerParent 2 to 4, Total 8 to 20, Window from 16 up and RaceAfter up to
// 200ms make no difference beyond the noise; Racers below 6 cost some percent. Relaying parts of pieces shortens the
// doubling at the start.
//
// It deliberately models no disk, no CPU and no TCP slow start: where those are the limit, only the
// benchmarks tell.
package sim
