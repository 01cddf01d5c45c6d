// Package fetch runs downloads.
package fetch
