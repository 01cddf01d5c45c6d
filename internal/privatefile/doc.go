// Package privatefile reads files that hold secrets, and refuses those that others could have read or changed.
//
//	path ─▶ open ─▶ what is open: regular? whose bits? how long? ─▶ bytes
//
// It promises that what was checked is what is read: the check looks at the open file, not at its name, so
// that nobody can exchange the file in between. A file that everybody may read, or that the group may write,
// is refused; one that the group may read is taken, because that is how Kubernetes mounts a secret for a pod
// that does not run as root.
//
// It deliberately does not look at who owns the folder, and it does not write: atomicfile does.
package privatefile
