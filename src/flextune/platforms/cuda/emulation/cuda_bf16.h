// Half precision types are in device.h.
#pragma once
