package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"mariner/internal/image"
	"mariner/internal/image/config"
	"mariner/internal/sandbox"
)

func read(dir string) []string { g, _ := filepath.Glob(dir + "/*.rpm"); return g }

// trymain CONFIG PKGDIR INITRDDIR OUT
func main() {
	sandbox.Init()
	c, err := config.Load(os.Args[1])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	w, _ := os.MkdirTemp("", "work")
	os.Mkdir(w+"/t", 0o700)
	os.Mkdir(w+"/w", 0o700)
	last := time.Now()
	res, err := image.Build(context.Background(), image.Request{
		Config: c, Packages: read(os.Args[2]), Initrd: read(os.Args[3]), Out: os.Args[4], Work: w + "/w",
		Runner: &sandbox.Namespaces{Temp: w + "/t"}, Layers: filepath.SplitList(os.Getenv("MARINER_STAGE0")), Log: os.Stderr,
		Step: func(n, of int, s string) { fmt.Println(time.Since(last).Round(time.Millisecond)); fmt.Print(n, "/", of, " ", s, " "); last = time.Now() },
	})
	fmt.Println(time.Since(last))
	fmt.Println(res, err)
}
