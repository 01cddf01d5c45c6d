// Package source fetches content from outside the cluster.
package source
