package origin

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
)

// WebFolder is a folder on the web with the files, each gzipped under its name and .gz, where it has one of the MD5
// sums.
func WebFolder(url string, sums map[string]string) Origin {
	return func(ctx context.Context, s Source, dir string, missing []File) error {
		for _, f := range missing {
			name := f.Name + ".gz"
			from, packed := url+name, filepath.Join(dir, name+".part")
			if err := download(ctx, from, packed, s.Name, f.Size); err != nil {
				return err
			}
			err := checkMD5(packed, sums[name])
			if err == nil {
				err = f.gunzip(packed, dir)
			}
			os.Remove(packed)
			if err != nil {
				return fmt.Errorf("%s: %w", from, err)
			}
		}
		return nil
	}
}

// GzipFolder is a folder on this machine with the files, each gzipped under its name and .gz.
func GzipFolder(folder string) Origin {
	return func(_ context.Context, _ Source, dir string, missing []File) error {
		for _, f := range missing {
			packed := filepath.Join(folder, f.Name+".gz")
			if err := f.gunzip(packed, dir); err != nil {
				return fmt.Errorf("%s: %w", packed, err)
			}
		}
		return nil
	}
}

// gunzip installs a packed file.
func (f File) gunzip(packed, dir string) error {
	in, _, err := openFile(packed)
	if err != nil {
		return err
	}
	defer in.Close()
	unzipped, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	return f.install(unzipped, dir)
}

// WebArchive is an archive on the web. One that goes on from an earlier attempt and turns out wrong is fetched anew: it
// may be the earlier attempt that was.
func WebArchive(url, sum string, unpack Unpacker) Origin {
	return func(ctx context.Context, s Source, dir string, missing []File) error {
		packed := filepath.Join(dir, path.Base(url)+".part")
		for {
			_, err := os.Stat(packed)
			resumed := err == nil
			if err := download(ctx, url, packed, s.Name, s.size()); err != nil {
				return err
			}
			err = checkMD5(packed, sum)
			if err == nil {
				break
			}
			if !errors.As(err, &damaged{}) {
				return err
			}
			if err := os.Remove(packed); err != nil {
				return err
			}
			fmt.Fprintf(Log, "%s: what %s gave is not the archive, %v; removed\n", s.Name, url, err)
			if !resumed {
				return fmt.Errorf("%s: not the archive with MD5 %s", url, sum)
			}
		}
		if err := unpack(ctx, s, packed, dir, missing); err != nil {
			return fmt.Errorf("%s: %w", url, err)
		}
		return nil
	}
}
