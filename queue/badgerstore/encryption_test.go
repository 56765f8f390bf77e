package badgerstore_test

import (
	"bytes"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest"

	"github.com/sluice-webhooks/sluice/queue/badgerstore"
)

// TestWrongEncryptionKey says what is wrong, and only that, and leaves the store as it was.
func TestWrongEncryptionKey(t *testing.T) {
	dir := t.TempDir()
	o := badgerstore.Options{Logger: zaptest.NewLogger(t), EncryptionKey: bytes.Repeat([]byte{1}, 32)}
	open := func() error {
		s, err := badgerstore.Open(dir, o)
		if err != nil {
			return err
		}
		return s.Close()
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	for _, key := range [][]byte{bytes.Repeat([]byte{2}, 32), nil} {
		o.EncryptionKey = key
		err := open()
		if err == nil || !strings.Contains(err.Error(), "encryption key") {
			t.Errorf("with another key of %d bytes: %v", len(key), err)
		} else if strings.Contains(err.Error(), "panicked") {
			t.Errorf("more than what is wrong: %v", err)
		}
	}
	o.EncryptionKey = bytes.Repeat([]byte{1}, 32)
	if err := open(); err != nil {
		t.Error(err)
	}
}
