// Package manager holds the commands that ask the manager: job, schedule, preheat, gc and admin.
//
//	command line ─▶ door: which manager, as whom ─▶ rest.Client ─▶ rows ─▶ table, or the manager's own JSON
//	                  │ --manager, DARTER_MANAGER_URL                    └─▶ watch: one line that moves, an honest end
//	                  │ else the socket on this machine
//	                  └ else where "darter admin login" signed in last
//
// It promises that -o json is what the manager said, unchanged; that a command which watches ends with an exit code
// that tells done, partly done, failed and waiting for a confirmation apart; that an edit is made from the version
// that was shown, or refused; and that tokens and passwords come from files, prompts or the environment, never from
// the command line. It deliberately decides nothing: what may be done, and by whom, is the manager's to say.
package manager
