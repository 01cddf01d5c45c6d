// Package gatetest walks all routes of a gate as those who must not pass.
//
//	Routes ─▶ each as: nobody · a wrong token · a guest without roles · every scope but the one · another cluster
//	                   · and as an administrator, who must pass
//
// The walk needs real credentials of whatever authenticates behind the gate, and calls no handlers.
package gatetest
