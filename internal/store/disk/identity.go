package disk

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/darter-p2p/darter"
)

// The file "id" says which store the folder is, so that others can tell a host that restarted from one whose content is
// gone. It is a line of text:
//
//	darter store 1 9f86d081884c7d65
const (
	idName   = "id"
	idFormat = "darter store 1 %016x\n"
	maxID    = 64
)

// Identity returns the name of this store. The first call for a folder makes it up; it goes with the folder. A file that is
// not understood is replaced: the store is another one then, as after a loss.
func (s *Store) Identity() (darter.StorageID, error) {
	op := "name store " + s.cfg.Dir
	text, err := s.readSmall(s.path(idName), maxID)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fault(op, err)
	}
	if id := parseID(text); id != 0 {
		return id, nil
	}
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // it never fails
	id := max(binary.LittleEndian.Uint64(raw[:]), 1)
	if err := s.replaceSmall(s.path(idName), fmt.Appendf(nil, idFormat, id)); err != nil {
		return 0, fault(op, err)
	}
	return darter.StorageID(id), nil
}

// parseID reads what Identity writes; 0 for anything else.
func parseID(text []byte) darter.StorageID {
	var id uint64
	if _, err := fmt.Sscanf(string(text), idFormat, &id); err != nil || !bytes.Equal(text, fmt.Appendf(nil, idFormat, id)) {
		return 0
	}
	return darter.StorageID(id)
}

func (s *Store) readSmall(path string, limit int64) ([]byte, error) {
	f, err := s.files.Open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size > limit {
		return nil, err
	}
	text := make([]byte, size)
	_, err = f.ReadAt(text, 0)
	return text, err
}

// replaceSmall writes a file anew: after a crash it is the old one or the new one.
func (s *Store) replaceSmall(path string, text []byte) error {
	tmp := s.aside("tmp", idName)
	f, err := s.files.Open(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(text, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = s.files.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, s.files.Remove(tmp))
	}
	return s.files.SyncDir(s.cfg.Dir)
}
