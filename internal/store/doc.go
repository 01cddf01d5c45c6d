// Package store keeps content on this host.
package store
