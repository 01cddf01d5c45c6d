package manager

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/test/bufconn"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/catalog"
)

// still is a manager on a folder, which does not run.
func still(t *testing.T, dir string) (*Manager, error) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.GRPC, cfg.HTTP, cfg.DataDir = bufconn.Listen(1), bufconn.Listen(1), dir
	m, err := New(t.Context(), cfg)
	if err == nil {
		t.Cleanup(func() { require.NoError(t, m.Close()) })
	}
	return m, err
}

func TestTwoManagersOnOneFile(t *testing.T) {
	dir := t.TempDir()
	_, err := still(t, dir)
	require.NoError(t, err)
	_, err = still(t, dir)
	require.ErrorIs(t, err, database.ErrInUse)
	require.Equal(t, darter.Conflict, darter.KindOf(err))
	require.Contains(t, darter.HintOf(err), "PostgreSQL")
}

func TestANewerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	m, err := still(t, dir)
	require.NoError(t, err)
	require.NoError(t, m.rooms.DB.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO schema_jobs (version_id, is_applied) VALUES (99999, 1)")
		return err
	}))
	require.NoError(t, m.Close())
	_, err = still(t, dir)
	require.ErrorIs(t, err, database.ErrNewer)
	require.Equal(t, darter.Conflict, darter.KindOf(err))
	require.Contains(t, darter.HintOf(err), "newer Darter")
}

func TestADamagedOrUnusableFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "darter.db"), bytes.Repeat([]byte("no database "), 1000), 0o600))
	_, err := still(t, dir)
	require.Equal(t, darter.Corrupt, darter.KindOf(err), "%v", err)

	dir = t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "darter.db"), 0o700))
	_, err = still(t, dir)
	require.ErrorIs(t, err, database.ErrGone, "a folder lies where the file should")

	cfg := DefaultConfig()
	cfg.GRPC, cfg.HTTP, cfg.DataDir = bufconn.Listen(1), bufconn.Listen(1), t.TempDir()
	cfg.Database = "postgres://darter:hunter2@127.0.0.1:1/none"
	_, err = New(t.Context(), cfg)
	require.ErrorIs(t, err, database.ErrGone)
	require.NotContains(t, err.Error(), "hunter2")
}

// ask calls the API as somebody on this machine.
func (m *Manager) ask(t *testing.T, method, path, body string) (int, map[string]any) {
	t.Helper()
	ctx := context.WithValue(t.Context(), peerKey{}, uint32(os.Geteuid()))
	q := httptest.NewRequestWithContext(ctx, method, path, bytes.NewBufferString(body))
	q.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, q)
	var out map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out), w.Body.String())
	return w.Code, out
}

// TestADatabaseThatTakesNothing makes SQLite itself refuse: the answer says why, and nothing is half done.
func TestADatabaseThatTakesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		harm, mend string
		status     int
		code       string
		is         error
	}{
		"read-only": {"PRAGMA query_only = 1", "", http.StatusServiceUnavailable, "unavailable", database.ErrReadOnly},
		"full":      {"PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000", http.StatusInsufficientStorage, "no_space", database.ErrFull},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := still(t, t.TempDir())
			require.NoError(t, err)
			pragma := func(text string) {
				require.NoError(t, m.rooms.DB.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error {
					_, err := tx.ExecContext(ctx, text)
					return err
				}))
			}
			pragma(c.harm)
			large := `{"name":"second","bio":"` + string(bytes.Repeat([]byte("b"), 900)) + `","client":{"x":"` + string(bytes.Repeat([]byte("x"), 100_000)) + `"}}`
			status, problem := m.ask(t, "POST", "/v1/clusters", large)
			require.Equal(t, c.status, status, problem)
			require.Equal(t, c.code, problem["code"])
			_, err = m.rooms.Catalog.CreateCluster(t.Context(), catalog.ClusterSpec{Name: "third", Client: json.RawMessage(`{"x":"` + string(bytes.Repeat([]byte("x"), 100_000)) + `"}`)}, catalog.Edit{Actor: darter.System("test")})
			require.ErrorIs(t, err, c.is)
			status, list := m.ask(t, "GET", "/v1/clusters", "")
			require.Equal(t, http.StatusOK, status, "reading goes on")
			require.Len(t, list["items"], 1)

			if c.mend == "" {
				return // not even that can be written
			}
			pragma(c.mend)
			status, problem = m.ask(t, "POST", "/v1/clusters", large)
			require.Equal(t, http.StatusCreated, status, problem)
			versions, err := m.rooms.Catalog.Clusters(t.Context(), "", 10)
			require.NoError(t, err)
			require.Len(t, versions, 2)
		})
	}
}
