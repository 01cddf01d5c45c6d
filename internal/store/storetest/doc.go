// Package storetest is the suite that every store must pass.
//
//	Run(t, open) ─▶ open(t) ─▶ store.Store ─▶ one story per promise of the contract
//
// It promises to use nothing of a store but package store's interfaces. What only a store on disk has (crashes,
// full disks, files found at start) is tested beside it. It deliberately asserts no timing.
package storetest
