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

// fileSizes are the sizes that a store on a small disk was made with. They are kept beside it: memtables and segments are read with the sizes they were written with.
type fileSizes struct {
	Segment  int64 `json:"journal_segment"`
	MemTable int64 `json:"memtable"`
	ValueLog int64 `json:"value_log_file"`
}

// fitDisk makes the files of a new store smaller where those of the usual size would need a reserve that is most of the disk, or
// would take most of MaxSize by themselves. Sizes that the options give stay.
func (o *Options) fitDisk(dir string) error {
	kept, err := o.keepSizes(dir)
	if kept || err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	sizes, err := o.newSizes(dir)
	if err != nil || sizes == nil {
		return err
	}
	o.use(sizes)
	return sizes.save(filepath.Join(dir, sizesName))
}

// keepSizes takes the sizes that a store was made with, if it was made with unusual ones. kept is true if there is nothing to decide.
func (o *Options) keepSizes(dir string) (kept bool, err error) {
	if o.SegmentSize != 0 || o.MemTableSize != 0 || o.ValueLogFileSize != 0 {
		return true, nil
	}
	path := filepath.Join(dir, sizesName)
	content, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	sizes := new(fileSizes)
	if err := json.Unmarshal(content, sizes); err != nil || sizes.Segment <= 0 || sizes.MemTable <= 0 || sizes.ValueLog <= 0 {
		return false, fmt.Errorf("%w: %s does not hold the sizes of files; the usual ones are written as %s", queue.ErrDamaged, path, usualSizes)
	}
	o.use(sizes)
	return true, nil
}

const usualSizes = `{"journal_segment":67108864,"memtable":16777216,"value_log_file":134217728}`

func (o *Options) use(sizes *fileSizes) {
	o.SegmentSize, o.MemTableSize, o.ValueLogFileSize = sizes.Segment, sizes.MemTable, sizes.ValueLog
}

// newSizes returns the sizes for a store that is about to be made, nil for the usual ones.
func (o *Options) newSizes(dir string) (*fileSizes, error) {
	if _, err := os.Stat(filepath.Join(dir, "db", "MANIFEST")); !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
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
	if usual.reserve()*reserveShare <= total {
		return nil, nil //nolint:nilnil // the usual sizes fit
	}
	part := float64(total) / float64(usual.reserve()*reserveShare)
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
