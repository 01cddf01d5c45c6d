// Package atomicfile replaces a file so that a crash leaves the old bytes or the new ones.
//
//	write .name.tmp-* ─▶ fsync ─▶ rename over name ─▶ fsync folder
//	        └─ any error: the temporary file is removed, name is untouched
//
// It promises that a reader never sees half a file, and that a nil error means the new bytes survive a
// power cut. It deliberately does not lock: of two writers at once, the last rename wins.
package atomicfile
