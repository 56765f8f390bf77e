// Package torture holds the tests that kill the process which uses the durable store, and take its disk and its power away.
//
// The kill test starts a process that uses the store in every way there is, kills it (SIGKILL) at a random moment, also while it opens
// the store, and lets another process compare what is in the store with everything that was promised before.
//
// A process that is killed proves nothing about syncing: what it wrote is in the page cache and survives it. The power-cut test therefore
// puts the store on a file system whose disk it plays itself: a file in user space (FUSE) behind a loop device, under ext4. That disk knows
// which blocks a flush has covered. At a cut it keeps those and a random part of the others, as a real disk does; what is left is mounted,
// opened and compared with every promise that was read before the cut. With syncing switched off the same test has to lose events, or it
// proves nothing. The failing-disk test lets the same disk refuse flushes and writes: the store has to stop promising.
//
// The full-disk test lets a store and a stranger fill a small file system, and expects refusals, no crash, no false promise, and
// recovery without help.
//
// All but the first need Linux, root, /dev/fuse, /dev/loop-control, losetup and mkfs.ext4, and are skipped where one of them is missing.
// Everything runs in a short form by default. The long form is .ci/torture; what it sets:
//
//	SLUICE_TORTURE_CYCLES  how many times a process is killed
//	SLUICE_TORTURE_CUTS    how many times the power is cut
//	SLUICE_TORTURE_SECONDS how long a store is used without being killed
package torture
