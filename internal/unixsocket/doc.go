// Package unixsocket opens the sockets on which a role talks to this machine's tools.
//
//	path ─▶ somebody answers there? ─ yes ─▶ Conflict
//	                │ no: a left-over goes
//	                ▼
//	            listener, with the mode that says who may connect
//
// It promises never to remove anything but a socket that nobody answers on. Who is behind a connection it does not ask by
// itself: PeerUID tells what the kernel knows.
package unixsocket
