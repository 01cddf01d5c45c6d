package auth

import (
	"embed"
	"io/fs"

	"github.com/darter-p2p/darter/internal/database"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations are the tables of all folders here.
func Migrations() database.Migrations {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		return database.Migrations{Room: "auth"} // cannot be: the folder is embedded; Open refuses it
	}
	return database.Migrations{Room: "auth", Files: sub}
}
