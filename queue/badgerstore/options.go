package badgerstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"go.uber.org/zap"
)

// DefaultMaxEventSize is how many bytes an event may have with its header, unless told otherwise.
const DefaultMaxEventSize = 32 << 20

// Options of a store. The zero value of each means its default.
type Options struct {
	// Clock tells the time by which dedup windows end, deliveries are settled and replays come due. Default: the system's clock.
	Clock  func() time.Time
	Logger *zap.Logger // default: none

	// EncryptionKey of 16, 24 or 32 bytes encrypts the journal and the database.
	EncryptionKey []byte

	// NoSync leaves the journal to the page cache (durability "os"): a crash of the process loses nothing, a power cut or a crash of the
	// machine loses what was acknowledged in the last seconds.
	NoSync bool

	MinFree    int64 // free bytes of the disk below which no new events are accepted; the store's own reserve is the least
	MaxSize    int64 // bytes on the disk above which no new events are accepted; default: no limit. Less than its files take with nothing in them is an error
	MaxPending int64 // pending deliveries of a destination above which no new events for it are accepted; default: no limit

	// LockWait is how long to wait for another process that has the store open. Default: 60 s; negative: not at all.
	LockWait time.Duration

	MaxEventSize     int   // bytes of one event with its header; default 32 MiB, and at most what fits a journal segment
	MaxTail          int   // bytes of events in memory that the database does not hold yet, with what the journal leaves free between them; default 64 MiB, less on a small disk, as the next three
	SegmentSize      int64 // bytes of a journal segment; default 64 MiB
	MemTableSize     int64 // bytes of a memtable of the database; default 8 MiB
	NumMemtables     int   // default 4
	ValueLogFileSize int64 // bytes of a file of the value log; default 64 MiB
	ValueThreshold   int   // bytes from which on a value goes to the value log; default 1 KiB
	BucketClaims     int   // dedup claims that are kept in the order in which they came, with an index in memory; then they are sorted. Default 340,000
	Ballast          int64 // bytes kept to get a store on a full disk started; default 256 MiB or half the reserve; negative: none

	files      filesystem
	diskSpace  func(dir string) (free, total int64, err error)
	format     uint64
	migrations map[uint64]migration
	keepFormat bool          // a store of an earlier format is refused
	patience   time.Duration // see closePatience
	still      bool          // the database compacts nothing by itself
	manual     bool          // nobody makes the rows about zones in the background
}

func (o *Options) setDefaults() error {
	if n := len(o.EncryptionKey); n != 0 && n != 16 && n != 24 && n != 32 {
		return fmt.Errorf("encryption key has %d bytes (want 16, 24 or 32)", n)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.LockWait == 0 {
		o.LockWait = time.Minute
	}
	orDefault(&o.MaxTail, 64<<20)
	orDefault(&o.SegmentSize, 64<<20)
	orDefault(&o.MemTableSize, 8<<20)
	orDefault(&o.NumMemtables, 4)
	orDefault(&o.ValueLogFileSize, 64<<20)
	orDefault(&o.ValueThreshold, 1<<10)
	orDefault(&o.MaxEventSize, DefaultMaxEventSize)
	orDefault(&o.BucketClaims, bucketClaims)
	if o.SegmentSize < 64<<10 || o.MemTableSize < 1<<20 || o.ValueLogFileSize < 1<<20 {
		return errors.New("journal segments of less than 64 KiB, or memtables or value log files of less than 1 MiB, do not work")
	}
	o.MaxEventSize = int(min(int64(o.MaxEventSize), o.SegmentSize-segmentHeader-frameHeader-64, o.ValueLogFileSize-64<<10))
	if o.files == nil {
		o.files = osFS{}
	}
	if o.diskSpace == nil {
		o.diskSpace = diskSpace
	}
	if o.patience == 0 {
		o.patience = closePatience
	}
	if o.format == 0 {
		o.format, o.migrations = formatVersion, migrations
	}
	return nil
}

func orDefault[T int | int64](v *T, standard T) {
	if *v == 0 {
		*v = standard
	}
}

func (o *Options) valueThreshold() int { return o.ValueThreshold }

// badger returns the options of the database.
func (o *Options) badger(dir string, log badger.Logger) badger.Options {
	// Compactions build up to 13 tables at a time, each in a buffer of twice its size, and so is a memtable written that is full. With Badger's defaults, tables of
	// 2 MiB that double from level to level and memtables of 64 MiB, both took hundreds of MiB.
	const tableSize = 1 << 20
	b := badger.DefaultOptions(dir).
		WithSyncWrites(true).WithDetectConflicts(false).WithMetricsEnabled(false).WithNumVersionsToKeep(1).
		WithCompression(options.None).WithVerifyValueChecksum(true). // every row has a checksum of ours, but Badger never unlocks a value log with a broken header
		WithMemTableSize(o.MemTableSize).WithNumMemtables(o.NumMemtables).
		WithValueLogFileSize(o.ValueLogFileSize).WithValueThreshold(int64(o.ValueThreshold)).
		WithNumCompactors(2).WithBaseTableSize(tableSize).WithCompactL0OnClose(false).WithBlockCacheSize(0).WithLogger(log)
	b.TableSizeMultiplier = 1
	if o.still {
		b.NumCompactors = 0
	}
	if len(o.EncryptionKey) > 0 {
		// Badger insists on caches with encryption, because decrypted blocks are expensive.
		b = b.WithEncryptionKey(o.EncryptionKey).WithIndexCacheSize(32 << 20).WithBlockCacheSize(32 << 20)
	}
	return b
}
