package torture

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue/badgerstore"
)

// roleVariable makes the test binary one of the processes that use the store.
const roleVariable = "SLUICE_TORTURE_ROLE"

func TestMain(m *testing.M) {
	roles := map[string]func(*spec) error{"writer": runWriter, "checker": runChecker}
	role := roles[os.Getenv(roleVariable)]
	if role == nil {
		os.Exit(m.Run())
	}
	var s spec
	err := json.Unmarshal([]byte(os.Args[1]), &s)
	if err == nil {
		err = role(&s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// spec is what a process does with the store.
type spec struct {
	Dir     string
	Run     int // part of the ids of its events
	Writers int
	NoSync  bool
	Key     []byte // encrypts the store
	Largest int    // bytes of a body
	MaxSize int64  // of the store
}

// options are small, so that segments rotate, memtables are flushed, dedup claims are sorted and value log files are collected within seconds.
func (s *spec) options() badgerstore.Options {
	return badgerstore.Options{
		NoSync: s.NoSync, EncryptionKey: s.Key, MaxSize: s.MaxSize, MemTableSize: 4 << 20, NumMemtables: 2, ValueLogFileSize: 8 << 20,
		SegmentSize: 2 << 20, BucketClaims: 10_000, LockWait: 10 * time.Second, Logger: stderrLog(),
	}
}

// stderrLog lets the parent say why a process has failed.
func stderrLog() *zap.Logger {
	c := zap.NewProductionConfig()
	c.Level = zap.NewAtomicLevelAt(zap.WarnLevel)
	c.OutputPaths = []string{"stderr"}
	log, err := c.Build()
	if err != nil {
		return zap.NewNop()
	}
	return log
}

// fromEnv returns a number of the environment.
func fromEnv(t *testing.T, name string, standard int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is not a positive number", name, text)
	}
	return n
}
