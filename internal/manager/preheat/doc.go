// Package preheat finds out what an image consists of, so that its parts can be brought to hosts before somebody asks.
//
//	manifest URL ─▶ GET ─┬─ manifest ────────────────────────────▶ configuration, layers ─▶ wants
//	                     └─ index ─▶ platforms asked for ─▶ GET each, by digest ─▶ ┘
//
// It promises that what is fetched by digest matches it, that no answer is read past its limit, that an index does not
// lead in circles, and that each blob is named once. It goes to the network through the client that it is given, which
// is where the rules for egress are.
//
// It deliberately speaks to no token service: it sends the headers that came with the request and no others.
package preheat
