package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// needs skips a test on machines that cannot run it, and says what is missing.
func needs(t *testing.T, devices ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("mounts file systems; left out of the short form")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount file systems")
	}
	for _, device := range devices {
		f, err := os.OpenFile(device, os.O_RDWR, 0)
		if err != nil {
			t.Skipf("needs %s: %v", device, err)
		}
		_ = f.Close() // it was only tried
	}
	for _, tool := range []string{"losetup", "mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs the command %s: %v", tool, err)
		}
	}
}

// tool runs a system command.
func tool(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// image is the file in user space that is the disk.
type image struct {
	fs.Inode
	disk *disk
}

var (
	_ fs.NodeGetattrer = (*image)(nil)
	_ fs.NodeOpener    = (*image)(nil)
	_ fs.NodeReader    = (*image)(nil)
	_ fs.NodeWriter    = (*image)(nil)
	_ fs.NodeFsyncer   = (*image)(nil)
)

func (i *image) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size, out.Blksize = syscall.S_IFREG|0o600, uint64(i.disk.size), blockSize
	return 0
}

func (i *image) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0 // nothing between the loop device and the disk
}

func (i *image) Read(_ context.Context, _ fs.FileHandle, p []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return fuse.ReadResultData(p[:i.disk.read(p, off)]), 0
}

func (i *image) Write(_ context.Context, _ fs.FileHandle, p []byte, off int64) (uint32, syscall.Errno) {
	if errno := i.disk.write(p, off); errno != 0 {
		return 0, errno
	}
	return uint32(len(p)), 0
}

func (i *image) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno { return i.disk.flush() }

// mounted is an ext4 on a disk. The test's process plays the disk, so it must not touch the file system itself: a page fault in it would wait
// for an answer that nobody is left to give.
type mounted struct {
	dir    string // where the ext4 is
	device string
	server *fuse.Server
}

// mountDisk mounts a disk, with a new file system on it if asked for.
func mountDisk(t *testing.T, d *disk, format bool) *mounted {
	t.Helper()
	m, err := tryMountDisk(t, d, format)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// tryMountDisk returns an error if what is on the disk is no file system any more.
func tryMountDisk(t *testing.T, d *disk, format bool) (*mounted, error) {
	t.Helper()
	base := t.TempDir()
	fuseDir := filepath.Join(base, "disk")
	m := &mounted{dir: filepath.Join(base, "ext4")}
	for _, dir := range []string{fuseDir, m.dir} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	root := &fs.Inode{}
	var err error
	m.server, err = fs.Mount(fuseDir, root, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "power-cut", MaxWrite: 128 << 10},
		OnAdd: func(ctx context.Context) {
			root.AddChild("image", root.NewPersistentInode(ctx, &image{disk: d}, fs.StableAttr{Mode: syscall.S_IFREG}), true)
		},
	})
	if err != nil {
		t.Skipf("needs to mount FUSE file systems: %v", err)
	}
	m.cleanUp(t)
	return m, m.attach(t, filepath.Join(fuseDir, "image"), format)
}

// mountFile makes a file of the given size and mounts it as a new ext4.
func mountFile(t *testing.T, size int64) *mounted {
	t.Helper()
	base := t.TempDir()
	m := &mounted{dir: filepath.Join(base, "ext4")}
	path := filepath.Join(base, "image")
	f, err := os.Create(path)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close(), os.Mkdir(m.dir, 0o700))
	}
	if err != nil {
		t.Fatal(err)
	}
	m.cleanUp(t)
	if err := m.attach(t, path, true); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *mounted) cleanUp(t *testing.T) {
	t.Cleanup(func() {
		if err := m.unmount(); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
}

func (m *mounted) attach(t *testing.T, path string, format bool) (err error) {
	t.Helper()
	if m.device, err = tool("losetup", "--find", "--show", path); err != nil {
		t.Skipf("needs a loop device: %v", err)
	}
	if format {
		if _, err := tool("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard", m.device); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tool("mount", "-t", "ext4", m.device, m.dir); err != nil {
		if format {
			t.Skipf("needs to mount ext4: %v", err)
		}
		return fmt.Errorf("the file system has not survived: %w", err)
	}
	return nil
}

// unmount undoes all of it. It is idempotent.
func (m *mounted) unmount() (err error) {
	if m.device != "" {
		if isMounted(m.dir) {
			_, err = tool("umount", m.dir)
		}
		_, detachErr := tool("losetup", "--detach", m.device)
		err = errors.Join(err, detachErr)
		m.device = ""
	}
	if m.server != nil {
		err = errors.Join(err, m.server.Unmount())
		m.server = nil
	}
	return err
}

func isMounted(dir string) bool {
	table, err := os.ReadFile("/proc/self/mounts")
	return err == nil && strings.Contains(string(table), " "+dir+" ")
}
