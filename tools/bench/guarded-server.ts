import 'reflect-metadata';
import { Controller, Get, Module, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { KeyGuard, KeyGuardModule, RequireScope } from '#key-guard';

// A NestJS server on Fastify with the same route twice: under the key guard, and open.
const [port = '0', keyService = '', token = ''] = process.argv.slice(2);

const answer = { data: [{ id: 'rpt_1', title: 'Opening balance' }], nextCursor: null };

@Controller()
class Routes {
  @Get('guarded')
  @UseGuards(KeyGuard)
  @RequireScope('reports:read')
  guarded() {
    return answer;
  }

  @Get('open')
  open() {
    return answer;
  }
}

@Module({
  imports: [
    KeyGuardModule.forRoot({
      urls: [keyService],
      token: () => Promise.resolve(token),
      service: 'service-a',
      everyRoute: false,
    }),
  ],
  controllers: [Routes],
})
class BenchModule {}

const app = await NestFactory.create<NestFastifyApplication>(BenchModule, new FastifyAdapter(), {
  logger: false,
});
app.enableShutdownHooks();
await app.listen(Number(port), '127.0.0.1');
process.send?.('ready');
