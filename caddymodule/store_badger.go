package caddymodule

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/badgerstore"
)

func init() {
	caddy.RegisterModule(new(BadgerStore))
}

// BadgerStore keeps events in an embedded Badger database with a journal in front of it, in a directory that one process owns.
type BadgerStore struct {
	// The directory. Default: `webhooks` in Caddy's data directory.
	Dir string `json:"dir,omitempty"`

	// When an event counts as stored: `fsync`, when it is on the disk (the default), or `os`, when the operating system has it: then a
	// power cut, though not a crash of Caddy, can lose events of the last seconds that were answered with 2xx.
	Durability string `json:"durability,omitempty"`

	// Encrypts everything at rest: 16, 24 or 32 bytes in base64 or hex; a placeholder. Default: no encryption.
	EncryptionKey string `json:"encryption_key,omitempty"`

	// Free bytes on the disk below which new events are refused with 503. Default, and least: what the store needs to finish what it has accepted, 460 MiB, or a
	// quarter of a smaller disk.
	MinFree int64 `json:"min_free,omitempty"`

	// Bytes of the store above which new events are refused with 503; not less than its files take with nothing in them. Default: no limit.
	MaxSize int64 `json:"max_size,omitempty"`

	// Pending deliveries of one destination above which new events for it are refused with 503. Default: no limit.
	MaxPending int64 `json:"max_pending,omitempty"`

	dir string
	key []byte
}

// CaddyModule returns the Caddy module information.
func (*BadgerStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "webhooks.stores.badger", New: func() caddy.Module { return new(BadgerStore) }}
}

// Provision resolves the directory and the key. It does not touch the disk.
func (b *BadgerStore) Provision(caddy.Context) error {
	if b.dir = filepath.Join(caddy.AppDataDir(), "webhooks"); b.Dir != "" {
		// what is left of a path without one of its parts is another directory, in which an empty store would be made
		var err error
		if b.dir, err = caddy.NewReplacer().ReplaceOrErr(b.Dir, true, true); err != nil {
			return fmt.Errorf("store badger: directory %s: %w", b.Dir, err)
		}
	}
	if err := notNegative(map[string]int64{"min_free": b.MinFree, "max_size": b.MaxSize, "max_pending": b.MaxPending}); err != nil {
		return fmt.Errorf("store badger: %w", err)
	}
	switch b.Durability {
	case "", "fsync", "os":
	default:
		return fmt.Errorf("store badger: durability %q: want fsync or os", b.Durability)
	}
	if b.EncryptionKey == "" {
		return nil
	}
	secret, err := newSecretSource(b.EncryptionKey)
	if err != nil {
		return fmt.Errorf("store badger: encryption_key: %w", err)
	}
	if b.key, err = decodeKey(string(secret.value)); err != nil {
		return fmt.Errorf("store badger: encryption_key: %w", err)
	}
	return nil
}

// checkKey finds mistakes in the key where it stands in a Caddyfile.
func (b *BadgerStore) checkKey(d *caddyfile.Dispenser) error {
	if err := checkSecretsOf(d, "encryption_key", b.EncryptionKey); err != nil || isPlaceholder(b.EncryptionKey) {
		return err
	}
	if _, err := decodeKey(b.EncryptionKey); err != nil {
		return d.WrapErr(fmt.Errorf("encryption_key: %w", err))
	}
	return nil
}

func decodeKey(s string) ([]byte, error) {
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString} {
		if key, err := decode(s); err == nil && (len(key) == 16 || len(key) == 24 || len(key) == 32) {
			return key, nil
		}
	}
	return nil, errors.New("want 16, 24 or 32 bytes in hex or base64")
}

// Key implements [StoreModule]: the canonical path, so that two spellings of one directory are one store. The directory need not be there yet: Open makes it.
func (b *BadgerStore) Key() (string, error) {
	dir, err := filepath.Abs(b.dir)
	if err == nil {
		dir, err = canonical(dir)
	}
	if err != nil {
		return "", fmt.Errorf("store badger: %w", err)
	}
	return "badger:" + dir, nil
}

// canonical follows the symbolic links in an absolute path, the end of which may not be there.
func canonical(path string) (string, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if parent := filepath.Dir(path); errors.Is(err, fs.ErrNotExist) && parent != path {
		if resolved, err = canonical(parent); err == nil {
			resolved = filepath.Join(resolved, filepath.Base(path))
		}
	}
	return resolved, err
}

func (b *BadgerStore) options(logger *zap.Logger) badgerstore.Options {
	return badgerstore.Options{
		Logger: logger, NoSync: b.Durability == "os", EncryptionKey: b.key,
		MinFree: b.MinFree, MaxSize: b.MaxSize, MaxPending: b.MaxPending,
	}
}

// MaxEvent implements [BoundedStoreModule].
func (*BadgerStore) MaxEvent() int64 { return badgerstore.DefaultMaxEventSize }

// Encrypted tells whether what the store holds is encrypted at rest.
func (b *BadgerStore) Encrypted() bool { return len(b.key) > 0 }

// Open implements [StoreModule].
func (b *BadgerStore) Open(logger *zap.Logger) (queue.Store, error) {
	store, err := badgerstore.Open(b.dir, b.options(logger))
	if err != nil {
		return nil, err // a nil *badgerstore.Store must not become a queue.Store that is not nil
	}
	return store, nil
}

// Compatible implements [StoreModule].
func (b *BadgerStore) Compatible(opened StoreModule) error {
	other, ok := opened.(*BadgerStore)
	if !ok {
		return fmt.Errorf("store badger: %s is open as another kind of store", b.dir)
	}
	changed := ""
	switch {
	case (b.Durability == "os") != (other.Durability == "os"):
		changed = "durability"
	case !bytes.Equal(b.key, other.key):
		return fmt.Errorf("store badger: encryption_key cannot be changed while %s is open, nor by a restart: "+
			"`caddy webhooks store backup` and `store restore --new-encryption-key` make a store with another key", b.dir)
	}
	if changed != "" {
		return fmt.Errorf("store badger: %s cannot be changed while %s is open: restart Caddy, which takes a moment and loses nothing", changed, b.dir)
	}
	if err := badgerstore.CheckMaxSize(b.dir, b.MaxSize); err != nil {
		return fmt.Errorf("store badger: max_size: %w", err)
	}
	return nil
}

// Apply implements [LiveStoreModule]: min_free, max_size and max_pending change with a reload.
func (b *BadgerStore) Apply(store queue.Store) error {
	open, ok := store.(*badgerstore.Store)
	if !ok {
		return nil // it is being opened anew, with these options
	}
	return open.SetLimits(badgerstore.Limits{MinFree: b.MinFree, MaxSize: b.MaxSize, MaxPending: b.MaxPending})
}

var (
	_ caddy.Provisioner = (*BadgerStore)(nil)
	_ LiveStoreModule   = (*BadgerStore)(nil)
)
