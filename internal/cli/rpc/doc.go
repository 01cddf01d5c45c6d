// Package rpc is how the command line speaks to daemons and schedulers.
//
//	Socket    ─▶ unix socket ─▶ DfdaemonDownload   get, tasks, health
//	Scheduler ─▶ TCP         ─▶ scheduler.v2       hosts, tasks
//
// It promises that a daemon which is not there is found out in a moment, and that an answer of the
// source arrives as *source.Error, whichever daemon sent it. It deliberately holds no policy: who is asked, and
// what to do about an error, is decided by package cli.
package rpc
