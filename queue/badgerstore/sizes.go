package badgerstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sluice-webhooks/sluice/queue"
)

const (
	sizesName    = "SIZES"
	reserveShare = 4 // the reserve takes at most this part of a disk
	leastSegment = 6 << 20
)

// fileSizes are the sizes that a store was made with. They are kept beside it: memtables and segments are read with the sizes they were written with.
type fileSizes struct {
	Segment  int64 `json:"journal_segment"`
	MemTable int64 `json:"memtable"`
	ValueLog int64 `json:"value_log_file"`
}

// fitDisk takes the sizes of a store's files, or decides on those of a new one: they are smaller where files of the usual size would need a reserve that is
// most of the disk, or would take most of MaxSize by themselves. Sizes that the options give stay.
func (o *Options) fitDisk(dir string) error {
	kept, err := o.keepSizes(dir)
	if kept || err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	sizes, err := o.newSizes(dir)
	if err != nil {
		return err
	}
	o.use(sizes)
	return sizes.save(filepath.Join(dir, sizesName))
}

// keepSizes takes the sizes that a store was made with. kept is true if there is nothing to decide.
func (o *Options) keepSizes(dir string) (kept bool, err error) {
	if o.SegmentSize != 0 || o.MemTableSize != 0 || o.ValueLogFileSize != 0 {
		return true, nil
	}
	path := filepath.Join(dir, sizesName)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if kept, err = hasEntries(filepath.Join(dir, "db")); kept {
			o.use(&earlierSizes)
		}
		return kept, err
	}
	if err != nil {
		return false, err
	}
	sizes := new(fileSizes)
	if err := json.Unmarshal(content, sizes); err != nil || sizes.Segment <= 0 || sizes.MemTable <= 0 || sizes.ValueLog <= 0 {
		suitable, err := json.Marshal(earlierSizes)
		return false, errors.Join(fmt.Errorf("%w: %s does not hold the sizes of files; those that suit any store, on a disk that is not small, are %s", queue.ErrDamaged, path, suitable), err)
	}
	o.use(sizes)
	return true, nil
}

func hasEntries(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return len(entries) > 0, err
}

// earlierSizes are those with which versions that kept no sizes beside a store made it, unless its disk was small.
var earlierSizes = fileSizes{Segment: 64 << 20, MemTable: 16 << 20, ValueLog: 128 << 20}

func (o *Options) use(sizes *fileSizes) {
	o.SegmentSize, o.MemTableSize, o.ValueLogFileSize = sizes.Segment, sizes.MemTable, sizes.ValueLog
	orDefault(&o.MaxTail, int(sizes.Segment)) // it has to fit the reserve too
}

// newSizes returns the sizes for a store that is about to be made.
func (o *Options) newSizes(dir string) (*fileSizes, error) {
	space := o.diskSpace
	if space == nil {
		space = diskSpace
	}
	_, total, err := space(dir)
	if err != nil {
		return nil, fmt.Errorf("size of the disk of %s: %w", dir, err)
	}
	if o.MaxSize > 0 {
		total = min(total, reserveShare*o.MaxSize)
	}
	usual := Options{}
	if err := usual.setDefaults(); err != nil {
		return nil, err
	}
	part := min(float64(total)/float64(usual.reserve()*reserveShare), 1)
	size := func(usual, least int64) int64 { return max(int64(part*float64(usual))&^(1<<12-1), least) }
	return &fileSizes{
		Segment: size(usual.SegmentSize, leastSegment), MemTable: size(usual.MemTableSize, 1<<20), ValueLog: size(usual.ValueLogFileSize, leastSegment),
	}, nil
}

func (s *fileSizes) save(path string) error {
	content, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return replaceFile(path, append(content, '\n'))
}
