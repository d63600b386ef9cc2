# Thin over the presets of CMakePresets.json. Every target does its own set-up.
PRESET ?= release
JOBS ?= $(shell nproc)
export HONE_DATA_DIR

.PHONY: help demo test bench profile quality interop faults breakages load fuzz http-fuzz deb image try-image sbom format asan tsan build programs python-client setup setup-tests

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -e 's/:.*##/\t/' | expand -t 15

demo: programs  ## a server, a job over gRPC with the live curve, a prediction
	deploy/demo build/$(PRESET)/bin

test: build  ## build all and run all tests; HONE_DATA_DIR names a folder with real data sets
	ctest --preset $(PRESET) -j2

bench: build  ## our training step and PyTorch's side by side; ROWS="lstm,minilm*bf16" some rows, STORE=FILE keeps the table
	tests/bench/run build/$(PRESET)/bin $(if $(ROWS),--rows "$(ROWS)") $(if $(STORE),--store "$(STORE)")

NETS ?= gpt128,lstm,minilm
PRECISION ?= f32
profile: build  ## where the time of a step over sequences goes, by op and kind of work; NETS and PRECISION of the bench's rows
	build/$(PRESET)/bin/hone-bench-sequences $(NETS) $(PRECISION) --profile

quality: programs  ## whole systems beside PyTorch's: runs what is not stored, prints the table; ROW=name one row, AGAIN=ours, pytorch or both
	tests/bench/quality/run build/$(PRESET)/bin $(if $(ROW),--row $(ROW)) $(if $(AGAIN),--again $(AGAIN))

interop: build  ## what we compute and write beside PyTorch and safetensors, live, in a Python environment of its own
	tests/interop/run build/$(PRESET)/bin

SEED ?= 1
faults: build  ## kill server and workers, fill the disk, break fsync at counted events; SEED=N replays a list of faults
	tests/faults/kill_and_count.py build/$(PRESET)/bin/honed build/$(PRESET)/bin/hone \
	  build/$(PRESET)/tests/libfault_shim.so . --seed $(SEED)

breakages: build  ## put mended faults of the server back, one by one: a test must fail for each
	tests/breakages/breakages.py --clean
	for batch in 1 2 3 4 5 6; do tests/breakages/breakages.py $$batch || exit 1; done

load: build  ## what the server carries: a long queue, a long history, many watchers; each number with its goal
	tests/load/load.py build/$(PRESET)/bin build/$(PRESET)/tests/hone.desc build/$(PRESET)/tests/fill_store

FUZZ_SECONDS ?= 600
FUZZ_TARGETS = chat_json checkpoint_config checkpoint_index csv frames http idx job_file jsonl maze picture safetensors tagged texts tokenizer tokenizer_json
fuzz: setup setup-tests  ## libFuzzer on what reads bytes of strangers, FUZZ_SECONDS for each of FUZZ_TARGETS; needs clang
	deploy/install-packages deploy/packages-fuzz.txt
	cmake --preset fuzz
	cmake --build --preset fuzz -j $(JOBS) --target $(addprefix fuzz_,$(FUZZ_TARGETS))
	tests/fuzz/run build/fuzz/fuzz $(FUZZ_SECONDS) $(FUZZ_TARGETS)

http-fuzz: build  ## ten minutes of requests that schemathesis makes of /v1/openapi.json
	python3 tests/support/environments.py schemathesis
	tests/e2e/http_fuzz.py build/$(PRESET)/bin --examples 50 --seconds 600

deb: setup  ## the Debian package, with its service, into build/release/deb
	cmake --preset $(PRESET) -DHONE_TESTS=OFF
	cmake --build --preset $(PRESET) -j $(JOBS) --target package_files
	cpack --config build/$(PRESET)/CPackConfig.cmake -B build/$(PRESET)/deb
	@ls build/$(PRESET)/deb/*.deb

CONTAINERS = $(shell command -v podman || echo docker)
image:  ## the container image `hone`, with docker or podman
	$(CONTAINERS) build $(if $(findstring podman,$(CONTAINERS)),--format docker) $(IMAGE_OPTIONS) -t hone .
	@$(CONTAINERS) image inspect --format '{{.Size}}' hone | awk '{printf "the image hone: %.0f MB\n", $$1 / 1e6}'

try-image: build  ## the image read-only, without capabilities, with 1 processor and 1 GiB: it learns, refuses, ends
	tests/e2e/container.py build/$(PRESET)/tests/hone.desc --runner "$(CONTAINERS)" --options "$(RUN_OPTIONS)"

sbom:  ## what is in the image, as SPDX, into build/sbom.spdx.json; no network
	@mkdir -p build
	deploy/sbom --runner "$(CONTAINERS)" --options "$(RUN_OPTIONS)" --to build/sbom.spdx.json

format: setup  ## clang-format over all sources
	git ls-files -z '*.h' '*.cc' | xargs -0 clang-format -i

asan:  ## all tests under the address and undefined-behaviour sanitizers
	$(MAKE) test PRESET=asan-ubsan

tsan: setup setup-tests  ## the tests that share memory between threads, without gRPC, under the thread sanitizer
	cmake --preset tsan
	cmake --build --preset tsan -j $(JOBS) --target tsan_tests
	ctest --preset tsan -j2 -L tsan

programs: setup  ## build hone, honed, hone-worker and hone-sentencepiece into build/release/bin
	cmake --preset $(PRESET) -DHONE_TESTS=OFF
	cmake --build --preset $(PRESET) -j $(JOBS) --target hone honed hone-worker hone-sentencepiece

python-client: setup setup-tests  ## the wheel of the Python client, into build/python
	rm -rf client/python/build build/python
	python3 -m venv build/python/venv
	build/python/venv/bin/pip wheel --quiet --no-deps --wheel-dir build/python ./client/python
	@ls build/python/*.whl

build: setup setup-tests  ## build everything into build/release
	cmake --preset $(PRESET) -DHONE_TESTS=ON
	cmake --build --preset $(PRESET) -j $(JOBS)

setup:  ## the distribution's packages that are missing
	deploy/install-packages

setup-tests:
	deploy/install-packages deploy/packages-test.txt
